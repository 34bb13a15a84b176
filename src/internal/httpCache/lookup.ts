/**
 * What is stored for a request.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { StoredResponse } from "../../HttpCacheStore.js"
import { withNow } from "../storage/compat.js"
import { partOf } from "./answers.js"
import type { Asked } from "./asked.js"
import { type Decision, evaluate } from "./evaluate.js"
import { directivesOf } from "./freshness.js"
import { keysOfPath, noVarySettings, parseNoVarySearch } from "./key.js"
import { querySettings } from "./noVary.js"
import type { Found, Parts, Trouble } from "./parts.js"
import { matches } from "./vary.js"

const modes = {
  default: "default",
  "force-cache": "any",
  "no-cache": "validate",
  "no-store": "default",
  "only-if-cached": "any",
  reload: "validate"
} as const

/** @internal */
export const nothingFound = ({ key }: Asked): Found => ({ all: [], decision: undefined, key, selected: undefined })

/** Whether it is of a kind that can answer the request. */
const isUsable = (asked: Asked, stored: StoredResponse): boolean => {
  const { policy } = asked.applied
  if (!matches(asked.headers, stored, policy) || !policy.isStatus(stored.status)) return false
  // A private cache of the same name may have stored it.
  if (policy.isShared && directivesOf(stored, policy).private === true) return false
  if (stored.method === "HEAD" || asked.method === "HEAD") return asked.method === "HEAD" && stored.range === undefined
  return stored.range === undefined || partOf(asked, stored)?._tag === "Bytes"
}

const decide = (asked: Asked, stored: StoredResponse, now: number): Decision =>
  evaluate(asked.directives, stored, now, asked.applied.policy, modes[asked.mode])

/** @internal */
export const makeLookup = ({ fetches, options, over, settings, store }: Parts) => {
  /** Those that do not depend on the whole query are found under what they do depend on. */
  const elsewhere = (asked: Asked): Effect.Effect<Pick<Found, "all" | "key"> | undefined, Trouble> =>
    Effect.gen(function*() {
      for (const query of yield* querySettings(store, asked.url, settings.query)) {
        const key = asked.keyFor(query)
        if (key === asked.key) continue
        yield* fetches.settledFor(key)
        // Those that are there because they say so themselves.
        const all = (yield* store.read(key)).filter(({ headers }) => {
          const rule = parseNoVarySearch(headers["no-vary-search"])
          return rule !== undefined && asked.keyFor(noVarySettings(rule, settings.query)) === key
        })
        if (all.length > 0) return { all, key }
      }
      return undefined
    })

  const look = (asked: Asked, without: ReadonlySet<string>): Effect.Effect<Found, Trouble> =>
    Effect.gen(function*() {
      yield* Effect.suspend(() =>
        fetches.settledFor(asked.key, asked.url.search === "" ? undefined : keysOfPath(asked.url)[1])
      )
      let key = asked.key
      let all = yield* store.read(key)
      if (all.length === 0) {
        const other = yield* elsewhere(asked)
        if (other !== undefined) {
          all = other.all
          key = other.key
        }
      }
      over()
      const usable = all.filter((stored) => isUsable(asked, stored) && !without.has(stored.id))
      for (const selected of usable) {
        if (options.shouldUse !== undefined && !(yield* options.shouldUse(asked.request, selected))) continue
        const decision = yield* withNow((now) => Effect.succeed(decide(asked, selected, now)))
        return { all, decision, key, selected }
      }
      return { all, decision: undefined, key, selected: undefined }
    })

  return { look }
}
