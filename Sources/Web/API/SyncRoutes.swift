import Hummingbird
import Sync

/// For operators: how syncing goes.
struct SyncRoutes: Sendable {
    let overview: SyncOverview

    /// GET /v1/sync
    func show(_ call: APIRequest) async throws -> Response {
        var query = try QueryReader(call.http)
        try query.finish()
        return .json(.list(try await overview.lines().map { .value($0.json) }, next: nil))
    }
}
