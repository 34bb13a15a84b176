/**
 * What stores count. A counter is one addition to a number that is looked up once.
 *
 * @internal
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricLabel from "effect/MetricLabel"

const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })

/** From half a millisecond to about half a minute. */
const millis = (name: string, description: string) =>
  Metric.histogram(name, MetricBoundaries.exponential({ count: 17, factor: 2, start: 0.5 }), description)

/** @internal */
export const metrics = {
  expirations: counter("effect_kv_expirations", "Expired entries that were removed"),
  hits: counter("effect_kv_hits", "Keys that were read and found"),
  lockWait: millis("effect_kv_lock_wait_millis", "How long operations that found a lock held waited for it"),
  misses: counter("effect_kv_misses", "Keys that were read and not found"),
  sweepDuration: millis("effect_kv_sweep_duration_millis", "How long it took to remove what is expired of a keyspace"),
  writes: counter("effect_kv_writes", "Entries that were set or removed")
}

type Labels = ReadonlyArray<MetricLabel.MetricLabel>

/**
 * The labels of a keyspace: to be made once, as the hook of a metric is found by their identity.
 *
 * @internal
 */
export const labelsOf = (keyspace: string | undefined): Labels =>
  keyspace === undefined ? [] : [MetricLabel.make("keyspace", keyspace)]

/** @internal */
export const add = (metric: Metric.Metric.Counter<number>, labels: Labels, count: number): void => {
  if (count > 0) metric.unsafeUpdate(count, labels)
}

/** @internal */
export const record = (metric: Metric.Metric.Histogram<number>, labels: Labels, value: number): void =>
  metric.unsafeUpdate(value, labels)
