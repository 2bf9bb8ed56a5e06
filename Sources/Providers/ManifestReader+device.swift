import OAuth
import YAML

/// What a manifest says of the device authorization grant.
struct DeviceAuthorizationKeys: Sendable {
    /// `nil`: the metadata document's.
    var endpoint: URLTemplate?
    var authenticated: Bool
    var memberNames: [String: String]
}

/// The same with its variables filled in.
package struct DeviceAuthorizationRule: Sendable, Equatable {
    var url: String?
    var authenticated: Bool
    var memberNames: [String: String]
}

extension ManifestReader {
    /// Members of a device authorization response that are read (RFC 8628 §3.2).
    static let renamedInDeviceAnswer = [
        "device_code", "user_code", "verification_uri", "verification_uri_complete", "expires_in", "interval",
    ]

    mutating func readDeviceAuthorization() -> DeviceAuthorizationKeys? {
        guard let node = root["device_authorization"] else { return nil }
        if node["endpoint"] == nil, root["issuer"] == nil {
            report(
                node.place,
                "device_authorization: the key endpoint is missing; expected a URL, for there is no issuer to tell it")
        }
        return DeviceAuthorizationKeys(
            endpoint: template(node["endpoint"], "device_authorization.endpoint"),
            authenticated: node["client_authentication"]?.bool ?? true,
            memberNames: readNames(node["member_names"], "device_authorization.member_names"))
    }
}

extension Provider {
    /// In force with this metadata document.
    func deviceEndpoint(_ discovered: String?) -> DeviceAuthorizationEndpoint? {
        (deviceAuthorization?.url ?? discovered).map {
            DeviceAuthorizationEndpoint(
                url: $0, authenticated: deviceAuthorization?.authenticated ?? true,
                memberNames: deviceAuthorization?.memberNames ?? [:])
        }
    }
}
