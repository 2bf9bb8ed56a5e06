/// What every page of the simulator has around it: a banner that says what it is, light and dark colours, one style.
enum PageFrame {
    static func html(title: String, site: SimulatedSite?, isWide: Bool = false, body: String) -> String {
        """
        <!doctype html>
        <html lang="en"><head><meta charset="utf-8"><title>\(title)</title>
        <meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">
        <link rel="icon" href="data:,"><style>:root{--hue:\(hue(site))}\(style)</style></head><body>
        <header><b>This is a simulator.</b> <span>\(banner(site))</span></header>
        <main\(isWide ? " class=\"wide\"" : "")>\(site.map { "<p class=\"site\">Simulated \(escaped($0.title))</p>" } ?? "")\(body)</main></body></html>
        """
    }

    private static func banner(_ site: SimulatedSite?) -> String {
        guard let site else { return "Nobody here is real." }
        return "It is not \(escaped(site.title)), and nobody here is real."
    }

    private static func hue(_ site: SimulatedSite?) -> Int {
        switch site {
        case .discord: 235
        case .github: 145
        case .google: 215
        case .openID: 275
        case .fixture: 185
        case nil: 25
        }
    }

    private static let style = """
        *{box-sizing:border-box}html{color-scheme:light dark}
        body{--page:hsl(var(--hue) 25% 96%);--card:#fff;--text:#1b1c1f;--soft:#5b5e66;--line:hsl(var(--hue) 12% 86%);\
        --main:hsl(var(--hue) 55% 40%);--pale:hsl(var(--hue) 60% 95%);\
        margin:0;min-height:100vh;background:var(--page);color:var(--text);\
        font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
        @media(prefers-color-scheme:dark){body{--page:hsl(var(--hue) 12% 9%);--card:hsl(var(--hue) 10% 14%);\
        --text:#ececef;--soft:#a5a8b0;--line:hsl(var(--hue) 8% 26%);--main:hsl(var(--hue) 65% 72%);\
        --pale:hsl(var(--hue) 25% 20%)}.main{color:#111!important}}
        header{padding:10px 16px;text-align:center;font-size:14px;color:#4a3500;background:#ffe08a;\
        border-bottom:1px solid #d9b23c}
        main{max-width:26rem;margin:32px auto;padding:28px;background:var(--card);border:1px solid var(--line);\
        border-radius:16px}
        main.wide{max-width:56rem}.wide button{flex:none;padding:0 22px}
        .sites{display:grid;gap:0 28px;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr))}
        .news{margin:0;padding-left:1.4em}
        .site{margin:0 0 18px;font-size:13px;font-weight:600;letter-spacing:.02em;color:var(--main)}
        h1{margin:0;font-size:26px;line-height:1.2;overflow-wrap:anywhere}.lead{margin:4px 0 22px;color:var(--soft)}
        fieldset{margin:0 0 20px;padding:0;border:0;min-width:0}
        legend{padding:0;margin:0 0 8px;font-size:14px;font-weight:600}
        .person{display:flex;gap:12px;align-items:center;padding:10px 12px;border:1px solid var(--line);cursor:pointer}
        div.person{cursor:auto}
        .person:first-of-type{border-radius:10px 10px 0 0}.person:last-of-type{border-radius:0 0 10px 10px}
        .person+.person{border-top:0}
        .person:has(:checked){background:var(--pale)}.person:has(:disabled){opacity:.55;cursor:not-allowed}
        .person img{border-radius:50%;flex:none}.person span,li span:last-child{min-width:0}
        small{display:block;color:var(--soft);font-size:13px;overflow-wrap:anywhere}code{font-size:12px}
        input{accent-color:var(--main);flex:none;width:18px;height:18px;margin:0}
        .scopes{list-style:none;margin:0;padding:0}.scopes li,.scopes label{display:flex;gap:12px;align-items:flex-start}
        .scopes li{padding:6px 0}.scopes input{margin-top:3px}.tick{width:18px;text-align:center;color:var(--main)}
        .where{margin:0 0 18px;font-size:14px;color:var(--soft)}.buttons{display:flex;gap:12px}
        button{flex:1;min-height:46px;font:inherit;font-weight:600;border-radius:10px;border:1px solid var(--line);\
        cursor:pointer;background:transparent;color:inherit}
        .main{background:var(--main);border-color:var(--main);color:#fff}
        :focus-visible{outline:3px solid var(--main);outline-offset:2px}
        @media(max-width:480px){body{background:var(--card)}main{margin:0;border:0;border-radius:0;padding:22px 18px}}
        h2{margin:26px 0 6px;font-size:18px}
        """
}
