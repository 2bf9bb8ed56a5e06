import JSONPath
import YAML

/// What a manifest says of signals, with its variables still to be filled in.
struct SignalKeys: Sendable {
    var rule: SignalRule
    var issuer: URLTemplate?
}

extension ManifestReader {
    mutating func readSignals() -> SignalKeys? {
        guard let node = root["signals"], let style = node["style"]?.text.flatMap({ SignalRule.Style(rawValue: $0) })
        else { return nil }
        let isToken = style == .secevent
        for (key, needed) in [
            ("signature", !isToken), ("timestamp", style == .ed25519), ("event", !isToken), ("issuer", isToken),
        ] where (node[key] != nil) != needed {
            report(
                node[key]?.place ?? node.place,
                "signals.\(key): expected \(needed ? "one" : "none") with the style \(style.rawValue)")
        }
        if isToken, root["issuer"] == nil {
            report(
                node.place, "signals: a security event token is signed by an issuer, which the manifest does not have")
        }
        let event = node["event"]
        if let event, (event["header"] == nil) == (event["path"] == nil) {
            report(event.place, "signals.event: expected either header or path")
        }
        let eventPath = paths(event?["path"], "signals.event.path").first
        guard let subject = paths(node["subject"], "signals.subject").first else { return nil }
        let rule = SignalRule(
            style: style, signatureField: node["signature"]?["header"]?.text,
            signaturePrefix: node["signature"]?["prefix"]?.text ?? "",
            timestampField: node["timestamp"]?["header"]?.text,
            deliveryField: node["delivery"]?["header"]?.text,
            event: event?["header"]?.text.map { SignalRule.Event.field($0) } ?? eventPath.map { .path($0) },
            revoked: Set(node["revoked"]?.texts.map(\.text) ?? []), subject: subject)
        return SignalKeys(rule: rule, issuer: template(node["issuer"], "signals.issuer"))
    }
}
