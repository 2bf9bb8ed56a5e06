/// The grant engine, in the words of RFC 6749, RFC 6750, RFC 7009, RFC 7523, RFC 7636, RFC 8707, RFC 9126, RFC 9449, RFC 9207, and OpenID Connect Core and
/// Discovery.
///
/// Everything here is pure: it builds the requests and reads the responses. `Linking` sends them, `Providers` says which
/// servers there are and how each departs from the standards, `Store` keeps what comes of it. No provider is named and
/// none is asked for by name: a departure is a neutral member of `TokenDialect` or `RevocationRequest`.
