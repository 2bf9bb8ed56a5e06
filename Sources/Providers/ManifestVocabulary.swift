import Cryptography
import OAuth

/// Every key that a manifest may hold. The names are the standards' own; nothing can be said in two ways.
enum ManifestVocabulary {
    static let manifest = Shape.record([
        .init("id", .text(.id), required: true, "The manifest's id, which is also the file's name."),
        .init("name", .text(.line), required: true, "What people call the provider."),
        .init("documentation", .text(.page), "The provider's documentation of its authorization server."),
        .init("registration", .text(.page), "Where an operator registers the client."),
        .init("redirect_uri_note", .text(.line), "Where on that page the redirect URI belongs."),
        .init("variables", variables, "What an instance may set; {name} in a URL stands for the value."),
        .init(
            "issuer", .text(.url),
            "An OpenID provider's issuer. Endpoints and keys come from its metadata document (OpenID Connect Discovery, RFC 8414); what the manifest also states wins."
        ),
        .init(
            "issuer_aliases", .list(.text(.line)),
            "Other values of iss that mean this issuer. A variable's {name} stands for its value, {tenantid} for the tenant that the claim tid names. For an instance with another issuer those alone count that hold its variables."
        ),
        .init(
            "metadata_hosts", .list(.text(.host)),
            "Hosts to which the metadata document may point, besides the issuer's own and those of variables. Not for an instance that sets another issuer."
        ),
        .init("user_agent", .text(.fieldValue), "Sent as User-Agent with every request; {public_url} may stand in it."),
        .init("authorization", authorization, required: true, "The authorization request (RFC 6749 §4.1.1)."),
        .init(
            "callback",
            .record([
                .init(
                    "keep", .list(keptParameter, atLeast: 1),
                    "Parameters kept with the account, for claims as $.callback.name; a value that is a JSON object is kept as one."
                ),
                .init(
                    "parameter_names", names(ManifestReader.renamedInCallback, .text(.parameterName)),
                    "The provider's own names of standard parameters: code: spapi_oauth_code."),
            ]), "What the callback brings, besides the protocol's own parameters or by other names."),
        .init(
            "client_authentication",
            .choice(ClientAuthentication.allCases.map(\.rawValue)),
            required: true, "How the client authenticates at the token endpoint; tried in one way, never probed."),
        .init(
            "client_assertion", clientAssertion,
            "How an assertion of private_key_jwt or client_secret_jwt departs from RFC 7523 §3."),
        .init(
            "resource", .list(.text(.resource), atLeast: 1),
            "Where the tokens will be used (RFC 8707): sent with authorization, token and refresh requests."),
        .init("token", token, "The token endpoint and how it departs from RFC 6749."),
        .init(
            "application_token", applicationToken,
            "A token of the application's own, of no user, for profile requests that say token: application."),
        .init(
            "revocation", revocation, "How a token is taken back; where it is absent, what the metadata document says."),
        .init(
            "device_authorization",
            .record([
                .init("endpoint", .text(.url), "From the metadata document where absent."),
                .init("client_authentication", .flag, "Whether the client authenticates; true where absent."),
                .init(
                    "member_names", names(ManifestReader.renamedInDeviceAnswer, .text(.line)),
                    "The provider's own names of standard members. verification_url is read as it is."),
            ]), "Where device codes come from (RFC 8628); where it is absent, what the metadata document says."),
        .init(
            "introspection", .record([.init("endpoint", .text(.url), required: true, "The endpoint's URL.")]),
            "RFC 7662; where it is absent, what the metadata document says."),
        .init("signals", signals, "How the provider tells by itself that a person took their consent back."),
        .init("profile", profile, required: true, "Where the profile is and what its claims are."),
        .init("limits", limits, "What the provider allows and how it says that enough is enough."),
        .init(
            "sync",
            .record([
                .init("interval", .duration, "Between two syncs of an account, 6h where absent."),
                .init("minimum_interval", .duration, "Never more often, 5m where absent."),
                .init("maximum_age", .duration, "No profile of a healthy account is older, 24h where absent."),
            ]), "How often accounts are synced."),
    ])

    private static let variables = Shape.map(
        names: .name,
        .either([
            .text(.line),
            .record([
                .init("default", .text(.line), "The value where the instance sets none."),
                .init(
                    "pattern", .text(.line),
                    "A regular expression for the whole value, which is then part of a host or a path, made of letters, digits and . _ ~ -. Without one the value is a URL."
                ),
                .init("description", .text(.line), "What to set it to."),
            ]),
        ]))

    private static let clientAssertion = Shape.record([
        .init(
            "parameter", .choice(ClientAssertionRule.Parameter.allCases.map(\.rawValue)),
            "Where the JWT stands; client_assertion with its type where absent, client_secret where a secret would."),
        .init(
            "algorithm", .choice(SignatureAlgorithm.allCases.map(\.rawValue)),
            "What private_key_jwt signs with; where absent, what fits the key and the server takes."),
        .init(
            "audience", .either([.choice(["issuer", "endpoint"]), .text(.url)]),
            "The one value of aud: the issuer (where absent and there is one), the endpoint that it is sent to, or a URL."
        ),
        .init(
            "issuer", .text(.line),
            "iss, in which {variable} and {redirect_host}, the redirect URI's host, may stand; the client id where absent."
        ),
        .init("lifetime", .duration, "Until exp; at most 5m, which it is where absent."),
        .init("requires_key_id", .flag, "The server takes no assertion without kid: each instance sets key_id."),
    ])

    private static let keptMember = Shape.either([
        .text(.parameterName),
        .record([
            .init("name", .text(.parameterName), required: true, "The member's name."),
            .init(
                "hosts", .list(.text(.hostPattern), atLeast: 1), required: true,
                "The member is the URL of a server of the provider's at one of these hosts, and must be there. It may stand at the beginning of a profile request's URL as {token.name}."
            ),
        ]),
    ])

    private static let keptParameter = Shape.either([
        .text(.parameterName),
        .record([
            .init("name", .text(.parameterName), required: true, "The parameter's name."),
            .init(
                "pattern", .text(.line), required: true,
                "A regular expression for the whole value, made of letters, digits and . _ ~ -. The callback must bring such a one; it may stand in the URL of a profile request as {callback.name}."
            ),
        ]),
    ])

    private static let applicationToken = Shape.record([
        .init(
            "grant", .choice(ApplicationGrant.Kind.allCases.map(\.rawValue)), required: true,
            "client_credentials (RFC 6749 §4.4), or jwt_bearer for a service account (RFC 7523 §2.1), whose assertion is made as client_assertion says."
        ),
        .init("scopes", .list(.text(.scope)), "What the token is for."),
        .init(
            "subject", .text(.line),
            "sub of a jwt_bearer assertion, in which {variable} may stand; its issuer where absent."),
        .init("scopes_in_assertion", .flag, "The scopes are a claim of the assertion and no parameter."),
    ])

    private static let authorization = Shape.record([
        .init(
            "endpoint", .text(.url),
            "The authorization endpoint; from the metadata document where absent. After a fragment that begins with / come the parameters, any other stays at the end."
        ),
        .init(
            "response_type", .choice(["code", "Assertion", "omitted"]),
            "What stands there for the authorization code grant, the one there is; code where absent."),
        .init(
            "state_in", .choice(StatePlace.allCases.map(\.rawValue)),
            "Where state stands: a parameter where absent, or part of redirect_uri for servers that return none."),
        .init(
            "response_mode", .choice(ResponseMode.allCases.map(\.rawValue)),
            "How the browser brings the answer; query where absent. With form_post a POST alone is taken."),
        .init("scopes", .list(.text(.scope)), required: true, "What a profile needs. An instance may set its own."),
        .init("scope_separator", .choice([" ", ",", "+", "|", ";", ":"]), "Between scopes in a request."),
        .init("pkce", .choice(["S256", "none"]), "RFC 7636; S256 where absent."),
        .init("nonce", .flag, "Whether a nonce is sent and expected; true where absent and there is an issuer."),
        .init(
            "pushed_authorization_request",
            .either([
                .choice(["none"]),
                .record([.init("endpoint", .text(.url), required: true, "Where requests are pushed; each is.")]),
            ]),
            "RFC 9126. Where absent, requests are pushed if the metadata document names an endpoint for them."),
        .init("parameters", .map(names: .parameterName, .text(.line)), "Fixed extra parameters."),
        .init(
            "parameter_names", names(ManifestReader.renamedInAuthorization, .text(.parameterName)),
            "The provider's own names of standard parameters: client_id: client_key."),
    ])

    /// Standard names and what the provider calls them.
    private static func names(_ standard: [String], _ text: Shape) -> Shape {
        .record(standard.map { .init($0, text, "The provider's own name of \($0).") })
    }

    private static let token = Shape.record([
        .init("endpoint", .text(.url), "The token endpoint; from the metadata document where absent."),
        .init(
            "request",
            .record([
                .init(
                    "method", .choice(["POST", "PUT", "GET"]), "POST where absent; GET has its parameters in the query."
                ),
                .init("format", .choice(["form", "json", "query"]), "Where the parameters stand; form where absent."),
                .init("headers", headers, "Extra header fields; {client_id} may stand in their values."),
                .init("parameters", .map(names: .parameterName, .text(.line)), "Extra parameters."),
                .init(
                    "parameter_names", names(ManifestReader.tokenParameters.sorted(), .text(.parameterName)),
                    "The provider's own names of standard parameters."),
                .init(
                    "repeats_client_id", .flag, "client_id stands in the body even where Basic carries it."),
                .init("sends_state", .flag, "The code exchange repeats state."),
                .init(
                    "plugin", .choice(TokenPlugin.allCases.map(\.rawValue)),
                    "Swift for a proof of the client's identity that data can't say."),
            ]), "How a request departs from RFC 6749."),
        .init(
            "response",
            .record([
                .init("content_types", .list(.text(.mediaType)), "Media types read as JSON besides the registered."),
                .init("path", .list(.text(.line), atLeast: 1), "Names that lead to the object with the token."),
                .init(
                    "member_names",
                    names(ManifestReader.renamedInAnswer, .either([.text(.line), .list(.text(.line), atLeast: 2)])),
                    "The provider's own names of standard members: access_token: accessToken. A list leads further inside."
                ),
                .init(
                    "lifetime_unit", .choice(LifetimeUnit.allCases.map(\.rawValue)),
                    "How expires_in and refresh_token_expires_in are written; seconds where absent."),
                .init(
                    "keep", .list(keptMember, atLeast: 1),
                    "Members of the code exchange's answer, never a token, kept with the account for claims as $.token.name."
                ),
                .init("bearer_token_types", .list(.text(.line)), "Values of token_type that mean Bearer."),
                .init(
                    "errors", .map(names: .line, .choice(standardErrors)),
                    "The provider's own error code, or its whole message, and the standard code that it means."),
                .init("zero_lifetime_is_forever", .flag, "expires_in: 0 means that the token does not expire."),
            ]), "How an answer departs from RFC 6749 §5."),
        .init(
            "dpop", .choice(DPoP.Use.allCases.map(\.rawValue)),
            "Whether tokens are bound to a key of the link (RFC 9449), and can then be handed to nobody; none where absent."
        ),
        .init("access_token_lifetime", .duration, "Assumed where the answer gives none."),
        .init(
            "validation",
            .record([
                .init("endpoint", .text(.url), required: true, "Answers 401 to a token that is dead."),
                .init(
                    "authorization", .choice(["Bearer", "bearer", "token", "OAuth"]),
                    "The scheme before the access token; Bearer where absent."),
                .init(
                    "interval", .duration, required: true,
                    "A token that was issued or validated longer ago is validated before it is used."),
            ]), "A request that the provider wants before an access token is used, once an interval."),
        .init(
            "exchange", .record(extraRequest(grantType: true)),
            "A second request that exchanges the code's access token, the parameter access_token, for one that lasts."),
        .init(
            "grants", .list(.choice(["authorization_code", "refresh_token"])),
            "What the server is asked for; both where absent."),
        .init(
            "refresh",
            .record(extraRequest(grantType: false) + refreshKeys), "RFC 6749 §6."),
    ])

    private static let refreshKeys: [Shape.Key] = [
        .init(
            "token", .choice(["refresh_token", "access_token"]),
            "What is sent as refresh_token: the refresh token, or the access token of servers that have no other."
        ),
        .init(
            "ahead", .duration,
            "So long before it ends an access token is refreshed; a minute where absent."),
        .init(
            "rotation", .choice(RefreshRotation.allCases.map(\.rawValue)),
            "What becomes of a refresh token that was used; reusable where absent."),
        .init(
            "lifetime", .either([.choice(["unknown"]), .duration]),
            "Assumed where the answer brings a refresh token and says nothing of it."),
        .init(
            "idle_lifetime", .duration,
            "A refresh token that nobody uses for so long is dead: one that lies idle is used now and then."),
        .init(
            "trigger", .choice(RefreshTrigger.allCases.map(\.rawValue)),
            "Whether tokens are refreshed shortly before they expire, or once one was refused or has expired; expiry where absent."
        ),
        .init(
            "settling", .duration,
            "For so long a new access token may be refused without that meaning anything."),
    ]

    /// How a request differs from that of the code exchange.
    private static func extraRequest(grantType isRequired: Bool) -> [Shape.Key] {
        [
            .init("endpoint", .text(.url), required: isRequired, "Where it goes, if not to the token endpoint."),
            .init("method", .choice(["POST", "PUT", "GET"]), "The token request's where absent."),
            .init("format", .choice(["form", "json", "query"]), "The token request's where absent."),
            .init(
                "grant_type", .text(.line), required: isRequired,
                isRequired ? "The provider's name of it." : "The standard's where absent; omitted is none at all."),
            .init(
                "parameters", .map(names: .parameterName, .text(.line)),
                "Extra parameters in place of the token request's; {redirect_uri} stands for the client's."),
            .init(
                "parameter_names", .map(names: .parameterName, .text(.parameterName)),
                "The provider's own names of standard parameters, in place of the token request's."),
        ]
    }

    static let standardErrors = [
        "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
        "invalid_scope", "invalid_target", "access_denied", "interaction_required", "authorization_pending",
        "slow_down",
        "expired_token", "server_error",
        "temporarily_unavailable",
    ]

    private static let revocation = Shape.either([
        .choice(["none"]),
        .record([
            .init("endpoint", .text(.url), "From the metadata document where absent."),
            .init("style", .choice(["rfc7009"]), required: true, "RFC 7009."),
            .init("client_authentication", .flag, "Whether the client authenticates; true where absent."),
        ]),
        .record([
            .init(
                "method", .choice(["GET", "POST", "PUT", "PATCH", "DELETE"]), required: true, "The request's method."),
            .init(
                "url", .text(.url), required: true,
                "May hold {client_id}, {access_token}, {refresh_token}, and {token} for one request with each."),
            .init("headers", headers, "Extra header fields; {client_id} may stand in their values."),
            .init("authentication", .choice(["basic", "none", "bearer"]), required: true, "What Authorization holds."),
            .init(
                "body",
                .record([
                    .init("format", .choice(["form", "json"]), required: true, "How the members are written."),
                    .init(
                        "parameters", .map(names: .parameterName, .text(.line)), required: true,
                        "Members, whose values may hold the same places as the URL."),
                ]), "The body, where there is one."),
            .init(
                "success", .list(.count(200...299), atLeast: 1), "Statuses that mean done; 200 and 204 where absent."),
            .init(
                "already_dead", .list(.count(400...499)),
                "Statuses that mean that the token was dead before; 404 and 422 where absent."),
        ]),
    ])

    private static func field(_ name: String, _ meaning: String) -> Shape.Key {
        .init(name, .record([.init("header", .text(.fieldName), required: true, "The field's name.")]), meaning)
    }

    private static let signals = Shape.record([
        .init(
            "style", .choice(SignalRule.Style.allCases.map(\.rawValue)), required: true,
            "hmac_sha256 over the body, with the instance's signal_secret; ed25519 over time stamp and body, with its signal_public_key; secevent: a token of RFC 8417 with the issuer's keys."
        ),
        .init(
            "signature",
            .record([
                .init("header", .text(.fieldName), required: true, "The field's name."),
                .init("prefix", .text(.line), "What stands before the hexadecimal digits."),
            ]), "Where the signature is."),
        field("timestamp", "Where the time stamp is, in seconds since 1970."),
        field("delivery", "Where a message's own id is; its signature stands for it where there is none."),
        .init(
            "event",
            .record([
                .init("header", .text(.fieldName), "The field with its name,"),
                .init("path", .text(.path), "or where the body has it."),
            ]), "What the message is about."),
        .init("revoked", .list(.text(.line), atLeast: 1), required: true, "Events that mean that consent is gone."),
        .init("subject", .text(.path), required: true, "Whose: in the body, or in what a token says of the event."),
        .init("issuer", .text(.url), "iss of a token."),
    ])

    private static let profile = Shape.record([
        .init(
            "requests",
            .map(
                names: .name,
                .record([
                    .init("url", .text(.url), required: true, "{userinfo_endpoint} is the metadata document's."),
                    .init("method", .choice(["GET", "POST"]), "GET where absent."),
                    .init(
                        "authorization",
                        .either([
                            .choice(["Bearer", "bearer", "token", "OAuth"]),
                            .record([
                                .init("header", .text(.fieldName), "A field with the access token alone,"),
                                .init("query", .text(.parameterName), "or a parameter of the query,"),
                                .init("body", .text(.parameterName), "or a member of the body."),
                            ]),
                        ]),
                        "The scheme before the access token, Bearer where absent, or where else the token stands."),
                    .init(
                        "body",
                        .record([
                            .init("format", .choice(["form", "json"]), required: true, "How the members are written."),
                            .init(
                                "parameters", .map(names: .parameterName, .text(.line)), required: true,
                                "Members, such as query for GraphQL."),
                        ]), "The body of a POST."),
                    .init(
                        "token", .choice(["account", "application"]),
                        "Whose access token it carries: the account's where absent, or the application's own, with {subject} in the URL for whom it asks."
                    ),
                    .init("headers", headers, "Extra header fields; {client_id} may stand in their values."),
                    .init("optional", .flag, "A refusal leaves its claims out."),
                    .init(
                        "scopes", .list(.text(.scope), atLeast: 1),
                        "One of these must be granted; an optional request is left out where none was."),
                ])), required: true, "In order; the name is where claims find the response."),
        .init(
            "claims", .record(ClaimType.all.map { .init($0.name, claim($0), required: $0.name == "sub", $0.meaning) }),
            required: true,
            "OpenID Connect Core §5.1 claims as JSONPath into {request name: response}; id_token holds the ID token's claims. A list is the first that is there."
        ),
        .init("plugin", .choice(ProfilePlugin.allCases.map(\.rawValue)), "Swift for what data can't say."),
        .init("volatile", .list(.text(.path)), "Left out of change detection: counters, signed URLs."),
        .init(
            "failures",
            .record([
                .init(
                    "error", .list(.text(.path), atLeast: 1),
                    "Finds something in the body of a success (2xx) that is none, which then counts as a refusal."),
                .init(
                    "unauthorized", .list(.text(.path), atLeast: 1),
                    "Finds something in the body where the token is not accepted any more, besides 401."),
                .init(
                    "insufficient_scope", .list(.text(.path), atLeast: 1),
                    "Finds something in the body of a refusal for want of a scope."),
                .init(
                    "suspended", .list(.text(.path), atLeast: 1),
                    "Finds something in the body where the user is suspended or gone."),
            ]), "JSONPath into the body of a refusal (4xx)."),
    ])

    private static func claim(_ type: ClaimType) -> Shape {
        let paths = Shape.either([.text(.path), .list(.text(.path), atLeast: 1)])
        let departure: Shape
        switch type.kind {
        case .boolean:
            departure = .record([
                .init("path", paths, required: true, "Where it is."),
                .init(
                    "accept", .list(.choice(BooleanForm.allCases.map(\.rawValue)), atLeast: 1), required: true,
                    "Forms that are read besides true and false: 1 and 0, \"true\" and \"false\", a time and null."),
            ])
        case .string:
            departure = .record([
                .init(
                    "join", .list(.text(.path), atLeast: 2), required: true,
                    "Paths to the parts of a text, joined by spaces; a part that is not there is left out.")
            ])
        default: return paths
        }
        return .either([.text(.path), .list(.text(.path), atLeast: 1), departure])
    }

    private static let limits = Shape.record([
        .init(
            "dialect", .either([.choice(["ietf", "github", "discord", "retry_after"]), headerTable]),
            "How the provider announces its limits; Retry-After is understood in each."),
        .init(
            "requests", .either([requestLimit, .list(requestLimit, atLeast: 1)]), "What may be sent."),
        .init("concurrency", .count(1...1000), "Requests under way at once; 16 where absent."),
        .init(
            "invalid_requests",
            .record([
                .init("count", .count(1...1_000_000), required: true, "How many."),
                .init("window", .duration, required: true, "In what time."),
                .init("statuses", .list(.count(400...599), atLeast: 1), required: true, "Which answers count."),
            ]), "How many failing requests lead to a ban."),
    ])

    private static let requestLimit = Shape.record([
        .init("per", .choice(RequestLimit.Sharing.allCases.map(\.rawValue)), required: true, "Who shares it."),
        .init("count", .count(1...1_000_000), required: true, "How many."),
        .init("window", .duration, required: true, "In what time."),
    ])

    private static let headerTable = Shape.record([
        .init("statuses", .list(.count(400...599)), "Always a limit, besides 429."),
        .init("statuses_when_spent", .list(.count(400...599)), "A limit where nothing remains."),
        .init(
            "markers",
            .list(
                .record([
                    .init(
                        "path", .text(.path), required: true, "Finds something in the body of a refusal for a limit."),
                    .init("reach", .choice(LimitSignal.Reach.allCases.map(\.rawValue)), "Whom that limit concerns."),
                ])), "Limits that the body of a failing response tells of."),
        .init("remaining", .list(.text(.fieldName), atLeast: 1), "Fields with what remains; one that is 0 is spent."),
        .init(
            "waits",
            .list(
                .record([
                    .init("header", .text(.fieldName), "The field with the time,"),
                    .init("body", .text(.path), "or where the body has it."),
                    .init("unit", .choice(WaitUnit.allCases.map(\.rawValue)), required: true, "How it is written."),
                ])),
            "Where the time to wait stands, besides Retry-After; the latest counts. Retry-After itself, where it is not written as RFC 9110 has it."
        ),
        .init(
            "usage",
            .record([
                .init("limit", .text(.fieldName), required: true, "The field with a limit for each window."),
                .init("used", .text(.fieldName), required: true, "The field with what was used in each."),
                .init(
                    "windows", .list(.duration, atLeast: 1), required: true,
                    "Windows that begin at multiples of their length, UTC."),
            ]), "Comma-separated limits and uses; where one is used up, its next window is waited for."),
        .init("backoff", .duration, "The wait where nothing usable is said; 60s where absent."),
        .init(
            "reach", .choice(LimitSignal.Reach.allCases.map(\.rawValue)),
            "Whom a limit concerns; everyone where absent."),
    ])

    /// {client_id} may stand in a value.
    private static let headers = Shape.map(names: .fieldName, .text(.fieldValue))
}
