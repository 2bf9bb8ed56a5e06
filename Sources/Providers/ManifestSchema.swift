import JSON

extension Manifest {
    /// A JSON Schema (draft 2020-12) of manifests for editors, made of the same table that the reader checks with. What it
    /// can't say (a variable that nobody declared, a JSONPath that does not parse) the reader says.
    package static let jsonSchema: String = {
        var schema: JSONObject = [
            "$schema": .string("https://json-schema.org/draft/2020-12/schema"),
            "title": .string("Rollcall provider manifest"),
            "description": .string("One file of providers/: how a provider is talked to and what its profiles hold."),
        ]
        for (name, value) in ManifestVocabulary.manifest.schema { schema[name] = value }
        return JSONValue.object(schema).text
    }()
}

extension Shape {
    var schema: JSONObject {
        switch self {
        case .text(let rule): return ["type": .string("string"), "pattern": .string(rule.pattern)]
        case .flag: return ["type": .string("boolean")]
        case .count(let range):
            return [
                "type": .string("integer"), "minimum": .number(JSONNumber(range.lowerBound)),
                "maximum": .number(JSONNumber(range.upperBound)),
            ]
        case .duration: return ["type": .string("string"), "pattern": .string("^[0-9]+(ms|s|m|h|d)$")]
        case .choice(let values): return ["enum": .array(values.map { .string($0) })]
        case .list(let item, let atLeast):
            return [
                "type": .string("array"), "items": .object(item.schema),
                "minItems": .number(JSONNumber(atLeast)),
            ]
        case .map(let names, let value):
            return [
                "type": .string("object"), "propertyNames": .object(["pattern": .string(names.pattern)]),
                "additionalProperties": .object(value.schema),
            ]
        case .record(let keys):
            var properties = JSONObject()
            for key in keys {
                var schema = key.shape.schema
                schema["description"] = .string(key.meaning)
                properties[key.name] = .object(schema)
            }
            return [
                "type": .string("object"), "properties": .object(properties),
                "required": .array(keys.filter(\.isRequired).map { .string($0.name) }),
                "additionalProperties": .bool(false),
            ]
        case .either(let shapes): return ["anyOf": .array(shapes.map { .object($0.schema) })]
        }
    }
}
