import JSON
package import Store

/// What changed between two versions of a profile.
package enum ProfilePatch {
    /// RFC 6902 over `{"claims": …, "raw": …}`; `nil` where either text can't be read (SQLite's JSON is wider than ours:
    /// it takes a member twice).
    package static func text(from old: ProfileContent, to new: ProfileContent) -> String? {
        if let claims = JSONPatch.operations(from: old.claims, to: new.claims, under: "/claims"),
            let raw = JSONPatch.operations(from: old.raw, to: new.raw, under: "/raw")
        {
            return "[\(claims)\(claims.isEmpty || raw.isEmpty ? "" : ",")\(raw)]"
        }
        guard let before = document(old), let after = document(new) else { return nil }
        return JSONPatch.difference(from: before, to: after).text
    }

    private static func document(_ content: ProfileContent) -> JSONValue? {
        // Unreadable is an answer here: the feed then says that everything was replaced.
        guard let claims = try? JSONValue(parsing: content.claims, depthMax: JSONValue.composedDepthMax),
            let raw = try? JSONValue(parsing: content.raw, depthMax: JSONValue.composedDepthMax)
        else { return nil }
        return ["claims": claims, "raw": raw]
    }
}
