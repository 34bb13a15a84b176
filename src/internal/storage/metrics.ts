/**
 * What stores count. A counter of a keyspace is looked up once, and is then one addition to a number.
 *
 * @internal
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import * as MetricLabel from "effect/MetricLabel"

const counterKeys = {
  expirations: ["effect_kv_expirations", "Expired entries that were removed"],
  hits: ["effect_kv_hits", "Keys that were read and found"],
  misses: ["effect_kv_misses", "Keys that were read and not found"],
  writes: ["effect_kv_writes", "Entries that were set or removed"]
} as const

type Counter = keyof typeof counterKeys

const keyOf = (counter: Counter) => {
  const [name, description] = counterKeys[counter]
  return MetricKey.counter(name, { description, incremental: true })
}

/** From half a millisecond to about half a minute. */
const millis = (name: string, description: string) =>
  Metric.histogram(name, MetricBoundaries.exponential({ count: 17, factor: 2, start: 0.5 }), description)

/** @internal */
export const metrics = {
  expirations: Metric.fromMetricKey(keyOf("expirations")),
  hits: Metric.fromMetricKey(keyOf("hits")),
  lockWait: millis("effect_kv_lock_wait_millis", "How long operations that found a lock held waited for it"),
  misses: Metric.fromMetricKey(keyOf("misses")),
  sweepDuration: millis("effect_kv_sweep_duration_millis", "How long it took to remove what is expired of a keyspace"),
  writes: Metric.fromMetricKey(keyOf("writes"))
}

const none: ReadonlyArray<MetricLabel.MetricLabel> = []

/**
 * How to add to a counter of a keyspace.
 *
 * @internal
 */
export const counterOf = (counter: Counter, keyspace: string): (count: number) => void => {
  const metric = Metric.fromMetricKey(
    MetricKey.taggedWithLabels(keyOf(counter), [MetricLabel.make("keyspace", keyspace)])
  )
  return (count) => {
    if (count > 0) metric.unsafeUpdate(count, none)
  }
}

/** @internal */
export const record = (
  metric: Metric.Metric.Histogram<number>,
  keyspace: string | undefined,
  value: number
): void => metric.unsafeUpdate(value, keyspace === undefined ? none : [MetricLabel.make("keyspace", keyspace)])
