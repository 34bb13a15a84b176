/**
 * What HTTP caches count, by name.
 *
 * @internal
 */
import * as labelled from "../metrics.js"

const counters = {
  bypasses: ["effect_kv_http_bypasses", "Requests that went by the cache"],
  bytesServed: ["effect_kv_http_bytes_served", "Bytes of bodies that came from the cache"],
  collapsed: ["effect_kv_http_collapsed", "Requests that waited for the response to another one"],
  damaged: ["effect_kv_http_damaged", "Stored responses that were found damaged, and removed"],
  errors: ["effect_kv_http_errors", "Troubles with the storage that requests were not told"],
  evictions: ["effect_kv_http_evictions", "Keys that were removed because there was too much"],
  hits: ["effect_kv_http_hits", "Requests that were answered by a fresh stored response"],
  invalidations: ["effect_kv_http_invalidations", "URLs whose responses an unsafe request has made invalid"],
  misses: ["effect_kv_http_misses", "Requests that the origin has answered"],
  revalidations: ["effect_kv_http_revalidations", "Stored responses that the origin said are current"],
  staleHits: ["effect_kv_http_stale_hits", "Requests that were answered by a stale stored response"],
  stores: ["effect_kv_http_stores", "Responses that were stored"]
} as const

type Counter = keyof typeof counters

/** @internal */
export const metrics = {
  bypasses: labelled.counter(counters.bypasses),
  bytesServed: labelled.counter(counters.bytesServed),
  collapsed: labelled.counter(counters.collapsed),
  damaged: labelled.counter(counters.damaged),
  errors: labelled.counter(counters.errors),
  evictions: labelled.counter(counters.evictions),
  hits: labelled.counter(counters.hits),
  invalidations: labelled.counter(counters.invalidations),
  misses: labelled.counter(counters.misses),
  revalidations: labelled.counter(counters.revalidations),
  staleHits: labelled.counter(counters.staleHits),
  stores: labelled.counter(counters.stores)
}

/** @internal */
export type Counts = Readonly<Record<Counter, (count: number) => void>>

/** @internal */
export const countsOf = (name: string): Counts => {
  const count = (counter: Counter) => labelled.counterOf(counters[counter], "cache", name)
  return {
    bypasses: count("bypasses"),
    bytesServed: count("bytesServed"),
    collapsed: count("collapsed"),
    damaged: count("damaged"),
    errors: count("errors"),
    evictions: count("evictions"),
    hits: count("hits"),
    invalidations: count("invalidations"),
    misses: count("misses"),
    revalidations: count("revalidations"),
    staleHits: count("staleHits"),
    stores: count("stores")
  }
}
