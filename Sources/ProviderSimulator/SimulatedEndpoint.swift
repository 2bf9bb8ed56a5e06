/// What faults are aimed at and requests are counted by; its raw value is its name in the control interface.
package enum SimulatedEndpoint: String, Sendable, CaseIterable, Codable {
    case authorize
    /// The submitted consent page.
    case consent
    case token
    /// RFC 9126.
    case par
    /// RFC 8628's request for a device code.
    case deviceAuthorization = "device_authorization"
    /// The page on which a person types a device's code in.
    case device
    /// Discord's and OpenID providers' revocation endpoint; GitHub's `DELETE …/token`.
    case revocation
    /// GitHub's `DELETE …/grant`.
    case grant
    /// GitHub's `POST …/token`.
    case check
    /// `/users/@me`, `/user` or userinfo: the first thing a profile is made of.
    case profile
    case emails
    case guilds
    case connections
    /// Discord's `/oauth2/@me`.
    case authorization
    /// Discord's `/oauth2/userinfo`.
    case userinfo
    /// Says whether an access token is good (quirk E15).
    case validation
    /// What an OpenID provider tells applications of its people.
    case directory
    /// The discovery document.
    case metadata
    case keys
    case avatar
}
