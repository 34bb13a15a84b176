/**
 * Responses that do not depend on the whole query are stored under what they do depend on. What that is, is known from
 * others to the same path.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { HttpCacheStore } from "../../HttpCacheStore.js"
import { keysOfPath, noVarySettings, parseNoVarySearch, type QuerySettings } from "./key.js"
import type { Trouble } from "./parts.js"

/** How many are looked at: those of one path mostly say the same. */
const looks = 2

/**
 * By which settings for its query a URL may be found, beside those of the cache.
 *
 * @internal
 */
export const querySettings = (
  store: HttpCacheStore["Type"],
  url: URL,
  own: QuerySettings
): Effect.Effect<ReadonlyArray<QuerySettings>, Trouble> =>
  url.search === ""
    ? Effect.succeed([])
    : Effect.map(
      Effect.forEach(keysOfPath(url), (prefix) => Stream.runCollect(store.values({ limit: looks, prefix }))),
      (found) => {
        const fields = found.flatMap(Chunk.toArray).flatMap(({ response }) => response.headers["no-vary-search"] ?? [])
        return [...new Set(fields)].flatMap((field) => {
          const rule = parseNoVarySearch(field)
          return rule === undefined ? [] : noVarySettings(rule, own)
        })
      }
    )
