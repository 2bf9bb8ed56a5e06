import Crypto

/// RFC 9110 §13.1.2: adds a weak entity tag made of the body, and answers 304 where the client has it already.
func tagged(_ reply: Reply, _ switches: SimulatorSwitches, _ call: Call) -> Reply {
    guard switches.sendsETags, reply.status == 200 else { return reply }
    var reply = reply
    let tag = "W/\"" + hexadecimal(SHA256.hash(data: reply.body)) + "\""
    reply.fields.append(("etag", tag))
    guard let known = call.ifNoneMatch else { return reply }
    let tags = known.split(separator: ",").map { $0.trimmingPrefix(" ") }
    guard known == "*" || tags.contains(where: { weak($0) == weak(tag[...]) }) else { return reply }
    reply.status = 304
    reply.body = []
    reply.fields.removeAll { $0.name == "content-type" }
    return reply
}

private func weak(_ tag: Substring) -> Substring { tag.hasPrefix("W/") ? tag.dropFirst(2) : tag }
