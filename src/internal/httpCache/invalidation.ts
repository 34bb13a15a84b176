/**
 * What is not to be used any more, because somebody says so: RFC 9111 section 4.4, RFC 9875 section 3.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { inTransaction } from "../storage/transactions.js"
import { groupsOf, groupTag } from "./arrivals.js"
import type { Asked } from "./asked.js"
import { keysOf, normalUrl } from "./key.js"
import { querySettings } from "./noVary.js"
import type { Live, Parts, Trouble } from "./parts.js"

/** RFC 9110 section 9.2.1, and QUERY. */
const safeMethods = new Set(["GET", "HEAD", "OPTIONS", "QUERY", "TRACE"])

/** @internal */
export const makeInvalidation = ({ count, fetches, settings, store, tell, tolerated }: Parts) => {
  /** Deletes all responses to a URL, and has what is being fetched from it not be stored. */
  const invalidate = (url: URL): Effect.Effect<number, Trouble> => {
    const normal = normalUrl(url, settings.query)
    fetches.cancel((fetch) => fetch.url === normal)
    return Effect.gen(function*() {
      // What is being stored at this moment is, and then goes as well.
      yield* fetches.settledAt(normal)
      const removed = yield* store.deletePrefix(keysOf(normal))
      const others = yield* querySettings(store, url, settings.query)
      for (const query of others) {
        fetches.cancel((fetch) => normalUrl(new URL(fetch.url), query) === normalUrl(url, query))
      }
      const counts = yield* Effect.forEach(others, (query) => store.deletePrefix(keysOf(normalUrl(url, query))))
      return counts.reduce((sum, count) => sum + count, removed)
    })
  }

  const deleteTag = (tag: string): Effect.Effect<number, Trouble> => {
    fetches.cancelTag(tag)
    return Effect.zipRight(fetches.settled, store.deleteTag(tag))
  }

  /** What a response to an unsafe method makes invalid: RFC 9111 section 4.4, RFC 9875 section 3. */
  const invalidatedBy = (asked: Asked, response: Live): Effect.Effect<void> => {
    if (safeMethods.has(asked.method) || response.status < 200 || response.status >= 400) return Effect.void
    const others = ["location", "content-location"].flatMap((name) => {
      const value = response.headers[name]
      const url = value === undefined || !URL.canParse(value, asked.url.href) ? undefined : new URL(value, asked.url)
      return url === undefined || url.origin !== asked.url.origin ? [] : url
    })
    const groups = groupsOf(response.headers["cache-group-invalidation"])
    const all = tolerated(
      Effect.zipRight(
        Effect.forEach([asked.url, ...others], (url) =>
          Effect.map(invalidate(url), (removed) => {
            if (removed === 0) return
            count.invalidations(1)
            tell({ _tag: "Invalidated", url: normalUrl(url, settings.query) })
          }), { discard: true }),
        Effect.forEach(groups, (group) =>
          Effect.map(deleteTag(groupTag(asked.url, group)), (removed) => {
            if (removed > 0) count.invalidations(removed)
          }), { discard: true })
      ),
      undefined
    )
    // What was sent stays sent, if the transaction is rolled back, or who has sent it is interrupted.
    return Effect.withFiberRuntime<void>((fiber) =>
      inTransaction(fiber.currentContext)
        ? Effect.zipLeft(
          all,
          fetches.deleting(all)
        )
        : all
    ).pipe(Effect.uninterruptible)
  }

  return { deleteTag, invalidate, invalidatedBy }
}
