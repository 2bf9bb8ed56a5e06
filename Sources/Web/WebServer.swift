/// The service's face: the HTTP interface for programs and the pages of linking for browsers.
///
/// `Routes.swift` shows every address. What a link, a token or a sync is lies in `Linking` and `Sync`, what is kept in
/// `Store`; here is only what HTTP asks for: who may call (RFC 6750), what can be read from a request, how an answer
/// is put (RFC 9457, RFC 9110 §13), and what browsers must be told (CSP, cookies). Profiles pass through as the bytes
/// that are stored.
package import Accounts
import HTTPTypes
import Hummingbird
package import Linking
package import Logging
import NIOCore
package import Providers
package import ServiceLifecycle
package import Store

package struct WebServer: Service {
    package struct Settings: Sendable {
        /// What browsers see; redirects, cookies and pages are built from it, never from a request's `Host`.
        package var publicURL: String
        package var applicationName: String
        package var host: String
        /// 0 lets the system choose; `onListening` tells.
        package var port: Int
        package var trustedProxies: TrustedProxies

        package init(
            publicURL: String, applicationName: String, host: String = "127.0.0.1", port: Int = 8080,
            trustedProxies: TrustedProxies = TrustedProxies()
        ) {
            self.publicURL = publicURL
            self.applicationName = applicationName
            self.host = host
            self.port = port
            self.trustedProxies = trustedProxies
        }
    }
}
