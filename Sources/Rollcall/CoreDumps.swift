import Foundation

/// A core file holds what the process held: tokens and keys in the clear. So there is none, and where something else
/// than the limit decides that (a program behind `kernel.core_pattern`, `gcore`), none of the memory is in it (core(5),
/// `coredump_filter`).
enum CoreDumps {
    static func forbid() { set(limit: 0, filter: "0") }

    /// For a fault that can't be found otherwise. The hard limit is the one that the process was started with.
    static func allow() { set(limit: nil, filter: "0x33") }

    private static func set(limit: rlim_t?, filter: String) {
        let core = __rlimit_resource_t(RLIMIT_CORE.rawValue)
        var limits = rlimit()
        if getrlimit(core, &limits) == 0 {
            limits.rlim_cur = limit ?? limits.rlim_max
            setrlimit(core, &limits)
        }
        // A system without /proc has the limit alone.
        try? Data(filter.utf8).write(to: URL(filePath: "/proc/self/coredump_filter"))
    }
}
