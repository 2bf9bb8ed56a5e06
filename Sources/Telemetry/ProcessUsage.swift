import Foundation

/// What this process takes of the machine, from proc(5).
struct ProcessUsage {
    var processorSeconds: Double?
    var residentBytes: Int?
    var virtualBytes: Int?
    /// Seconds since 1970.
    var startTime: Double?
    var openFiles: Int?
    var openFilesMax: Int?

    static func now() -> ProcessUsage {
        var usage = ProcessUsage()
        usage.processorSeconds = seconds(CLOCK_PROCESS_CPUTIME_ID)
        if let pages = words("/proc/self/statm")?.prefix(2).compactMap({ Int($0) }), pages.count == 2 {
            let size = sysconf(Int32(_SC_PAGESIZE))
            usage.virtualBytes = pages[0] * size
            usage.residentBytes = pages[1] * size
        }
        usage.startTime = startTime
        // A folder of links: one for each descriptor, that of this look among them. Where it can't be read nobody knows.
        usage.openFiles = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count).map { $0 - 1 }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            usage.openFilesMax = Int(clamping: limit.rlim_cur)
        }
        return usage
    }

    /// The twenty-second field of stat is in ticks since the machine started; the name before may hold anything.
    private static let startTime: Double? = {
        guard let stat = text("/proc/self/stat"), let end = stat.lastIndex(of: ")"),
            let ticks = stat[end...].split(separator: " ").dropFirst(20).first.flatMap({ Double($0) }),
            let now = seconds(CLOCK_REALTIME), let sinceStart = seconds(CLOCK_BOOTTIME)
        else { return nil }
        return now - sinceStart + ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
    }()

    private static func seconds(_ clock: clockid_t) -> Double? {
        var time = timespec()
        return clock_gettime(clock, &time) == 0 ? Double(time.tv_sec) + Double(time.tv_nsec) / 1e9 : nil
    }

    private static func words(_ path: String) -> [Substring]? { text(path)?.split(separator: " ") }

    private static func text(_ path: String) -> String? {
        // Only where the machine has no /proc.
        try? String(contentsOfFile: path, encoding: .utf8)
    }
}
