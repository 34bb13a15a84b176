/**
 * What memoised functions count, by name.
 *
 * @internal
 */
import * as Metric from "effect/Metric"
import * as labelled from "../metrics.js"

const counters = {
  bypasses: ["effect_kv_memo_bypasses", "Calls that went round what is stored"],
  collapsed: ["effect_kv_memo_collapsed", "Calls that waited for the answer of another one"],
  errors: ["effect_kv_memo_errors", "Troubles with the storage that calls were not told"],
  evictions: ["effect_kv_memo_evictions", "Answers that were removed because there were too many"],
  hits: ["effect_kv_memo_hits", "Calls that were answered by a fresh stored answer"],
  misses: ["effect_kv_memo_misses", "Calls that computed"],
  refreshes: ["effect_kv_memo_refreshes", "Answers that were computed by hand, or in the background"],
  staleHits: ["effect_kv_memo_stale_hits", "Calls that were answered by a stale stored answer"]
} as const

type Counter = keyof typeof counters

/** @internal */
export const metrics = {
  bypasses: labelled.counter(counters.bypasses),
  collapsed: labelled.counter(counters.collapsed),
  errors: labelled.counter(counters.errors),
  evictions: labelled.counter(counters.evictions),
  hits: labelled.counter(counters.hits),
  lookupTime: labelled.millis("effect_kv_memo_lookup_millis", "How long memoised functions took"),
  misses: labelled.counter(counters.misses),
  refreshes: labelled.counter(counters.refreshes),
  staleHits: labelled.counter(counters.staleHits)
}

/** @internal */
export type Counts = Readonly<Record<Counter, (count: number) => void>> & {
  readonly lookupTime: (millis: number) => void
}

/** @internal */
export const countsOf = (name: string): Counts => {
  const count = (counter: Counter) => labelled.counterOf(counters[counter], "memo", name)
  const lookupTime = Metric.tagged(metrics.lookupTime, "memo", name)
  return {
    bypasses: count("bypasses"),
    collapsed: count("collapsed"),
    errors: count("errors"),
    evictions: count("evictions"),
    hits: count("hits"),
    lookupTime: (millis) => lookupTime.unsafeUpdate(millis, []),
    misses: count("misses"),
    refreshes: count("refreshes"),
    staleHits: count("staleHits")
  }
}
