package import CoreMetrics
import Synchronization

/// A backend of swift-metrics that keeps numbers in memory and writes them in Prometheus' text format, version 0.0.4
/// (https://prometheus.io/docs/instrumenting/exposition_formats/).
///
/// It knows its families beforehand, each with its labels: what is counted under another name, or with other labels, is
/// dropped, so that nobody but `MetricFamily` decides what there is.
package final class MetricsRegistry: MetricsFactory {
    private let families: [FamilyState]
    private let byName: [String: FamilyState]

    package init(_ families: [MetricFamily] = MetricFamily.all) {
        self.families = families.map(FamilyState.init)
        byName = Dictionary(self.families.map { ($0.family.name, $0) }) { first, _ in first }
    }

    /// Every series that has a value, each family's in the order of its labels.
    package func exposition() -> String {
        var text = ""
        for family in families { family.write(to: &text) }
        return text
    }

    /// Forgets every series of a family.
    func clear(_ family: MetricFamily) { byName[family.name]?.clear() }

    private func series(_ name: String, _ dimensions: [(String, String)]) -> Series? {
        byName[name]?.series(dimensions)
    }

    // MARK: - MetricsFactory

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, dimensions) ?? NOOPMetricsHandler.instance
    }

    package func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler { series(label, dimensions) ?? NOOPMetricsHandler.instance }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, dimensions) ?? NOOPMetricsHandler.instance
    }

    /// What is not aggregated is a gauge, which a meter sets.
    package func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        series(label, dimensions) ?? NOOPMetricsHandler.instance
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(label, dimensions) ?? NOOPMetricsHandler.instance
    }

    package func destroyCounter(_ handler: any CounterHandler) { forget(handler) }
    package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { forget(handler) }
    package func destroyMeter(_ handler: any MeterHandler) { forget(handler) }
    package func destroyRecorder(_ handler: any RecorderHandler) { forget(handler) }
    package func destroyTimer(_ handler: any TimerHandler) { forget(handler) }

    private func forget(_ handler: AnyObject) { for family in families { family.remove(handler) } }
}

/// A family and its series.
private final class FamilyState: Sendable {
    let family: MetricFamily
    private let held = Mutex<[[String]: Series]>([:])

    init(_ family: MetricFamily) { self.family = family }

    /// `nil` where the labels are not this family's.
    func series(_ dimensions: [(String, String)]) -> Series? {
        guard dimensions.count == family.labels.count, zip(dimensions, family.labels).allSatisfy({ $0.0 == $1 }) else {
            return nil
        }
        let values = dimensions.map(\.1)
        return held.withLock { held in
            if let series = held[values] { return series }
            let series = Series(family.kind)
            held[values] = series
            return series
        }
    }

    func clear() { held.withLock { $0 = [:] } }

    func remove(_ handler: AnyObject) { held.withLock { held in held = held.filter { $0.value !== handler } } }

    func write(to text: inout String) {
        let series = held.withLock { $0 }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        if series.isEmpty { return }
        text += "# HELP \(family.name) \(Exposition.help(family.help))\n# TYPE \(family.name) \(family.kind.word)\n"
        for (values, series) in series {
            series.write(family.name, Array(zip(family.labels, values)), to: &text)
        }
    }
}

extension MetricFamily.Kind {
    fileprivate var word: String {
        switch self {
        case .counter: "counter"
        case .gauge: "gauge"
        case .histogram: "histogram"
        }
    }
}

/// One line's worth of numbers, or one histogram's. Which of the handlers it is used as follows from its family.
private final class Series: CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler, TimerHandler {
    private struct State {
        /// The value, or the sum of what was observed.
        var sum = 0.0
        var count = 0
        /// Observations by bucket, not cumulated; the last has no bound.
        var buckets: [Int]
    }

    private let bounds: [Double]?
    private let state: Mutex<State>

    init(_ kind: MetricFamily.Kind) {
        if case .histogram(let bounds) = kind { self.bounds = bounds } else { bounds = nil }
        state = Mutex(State(buckets: bounds.map { Array(repeating: 0, count: $0.count + 1) } ?? []))
    }

    func increment(by amount: Int64) { increment(by: Double(amount)) }
    func increment(by amount: Double) { state.withLock { $0.sum += amount } }
    func decrement(by amount: Double) { increment(by: -amount) }
    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { state.withLock { $0.sum = value } }
    func reset() { set(0.0) }

    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        guard let bounds else { return set(value) }
        state.withLock { state in
            state.sum += value
            state.count += 1
            state.buckets[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
        }
    }

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    func write(_ name: String, _ labels: [(String, String)], to text: inout String) {
        let state = state.withLock { $0 }
        guard let bounds else {
            text += Exposition.line(name, labels, state.sum)
            return
        }
        var count = 0
        for (bound, observed) in zip(bounds + [.infinity], state.buckets) {
            count += observed
            text += Exposition.line(name + "_bucket", labels + [("le", Exposition.number(bound))], Double(count))
        }
        text += Exposition.line(name + "_sum", labels, state.sum)
        text += Exposition.line(name + "_count", labels, Double(state.count))
    }
}

/// The spelling of Prometheus' text format.
enum Exposition {
    static func line(_ name: String, _ labels: [(String, String)], _ value: Double) -> String {
        let inner = labels.map { "\($0)=\"\(self.label($1))\"" }.joined(separator: ",")
        return name + (inner.isEmpty ? "" : "{\(inner)}") + " \(number(value))\n"
    }

    static func help(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
    }

    static func label(_ value: String) -> String { help(value).replacing("\"", with: "\\\"") }

    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return Int64(exactly: value).map(String.init) ?? "\(value)"
    }
}
