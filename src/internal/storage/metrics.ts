/**
 * What stores count, by keyspace.
 *
 * @internal
 */
import type * as Metric from "effect/Metric"
import * as labelled from "../metrics.js"

const counters = {
  expirations: ["effect_kv_expirations", "Expired entries that were removed"],
  hits: ["effect_kv_hits", "Keys that were read and found"],
  misses: ["effect_kv_misses", "Keys that were read and not found"],
  writes: ["effect_kv_writes", "Entries that were set or removed"]
} as const

/** @internal */
export const metrics = {
  expirations: labelled.counter(counters.expirations),
  hits: labelled.counter(counters.hits),
  lockWait: labelled.millis("effect_kv_lock_wait_millis", "How long operations that found a lock held waited for it"),
  misses: labelled.counter(counters.misses),
  sweepDuration: labelled.millis(
    "effect_kv_sweep_duration_millis",
    "How long it took to remove what is expired of a keyspace"
  ),
  writes: labelled.counter(counters.writes)
}

/**
 * How to add to a counter of a keyspace.
 *
 * @internal
 */
export const counterOf = (counter: keyof typeof counters, keyspace: string): (count: number) => void =>
  labelled.counterOf(counters[counter], "keyspace", keyspace)

/** @internal */
export const record = (
  metric: Metric.Metric.Histogram<number>,
  keyspace: string | undefined,
  value: number
): void => labelled.record(metric, "keyspace", keyspace, value)
