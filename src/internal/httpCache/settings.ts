/**
 * The options of a cache, checked once, and which of them hold for a request: its own, then those of the first rule that
 * matches, then those of all.
 *
 * @internal
 */
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import type { Caching, Options, RequestOptions, Rule } from "../../HttpCache.js"
import { parseDuration, shown } from "../storage/duration.js"
import { isHeuristic } from "./freshness.js"
import { glob } from "./glob.js"
import type { QuerySettings } from "./key.js"
import type { Policy } from "./policy.js"

/**
 * What an effect says of its requests.
 *
 * @internal
 */
export class CurrentOptions extends Context.Reference<CurrentOptions>()("effect-kv/HttpCache/RequestOptions", {
  defaultValue: (): RequestOptions => ({})
}) {}

/** What is said of caching, with times in milliseconds. What is not said is undefined. */
interface Said {
  readonly cacheControl: "respect" | "ignore" | undefined
  readonly heuristics: false | { readonly atMost: number; readonly fraction: number } | undefined
  readonly staleIfDisconnected: number | undefined
  readonly staleIfError: number | undefined
  readonly staleWhileRevalidate: number | undefined
  /** A time, if it is a date. */
  readonly timeToLive: number | Date | undefined
}

/**
 * What holds for a request.
 *
 * @internal
 */
export interface Applied {
  readonly isCached: boolean
  readonly policy: Policy
  readonly tags: ReadonlyArray<string>
  readonly timeToLive: (now: number) => number | undefined
}

/** @internal */
export interface Settings {
  /** What holds for a request; or what is wrong with what it says of itself. */
  readonly appliedTo: (
    request: HttpClientRequest.HttpClientRequest,
    url: URL,
    own: RequestOptions
  ) => Either.Either<Applied, string>
  readonly dropped: ReadonlyArray<string>
  /** What holds for requests of which nothing is said. */
  readonly general: Applied
  readonly isShared: boolean
  readonly keyHeaders: ReadonlyArray<string>
  readonly methods: ReadonlySet<string>
  readonly query: QuerySettings
  readonly retain: number
  readonly tagHeaders: ReadonlyArray<string>
}

const time = (name: string, value: Duration.DurationInput | undefined): Either.Either<number | undefined, string> =>
  value === undefined
    ? Either.right(undefined)
    // Which would be zero for `Duration`.
    : typeof value === "number" && value < 0
    ? Either.left(`${name}: ${value} is below zero`)
    : Either.mapLeft(
      Either.filterOrLeft(parseDuration(value), (millis) => millis >= 0, () => `${shown(value)} is below zero`),
      (issue) => `${name}: ${issue}`
    )

const oneOf = <A extends string>(
  name: string,
  value: A | undefined,
  all: ReadonlyArray<A>
): Either.Either<A | undefined, string> =>
  value === undefined || all.includes(value)
    ? Either.right(value)
    : Either.left(`${name} is ${all.map(shown).join(" or ")}, not ${shown(value)}`)

const timeToLive = (value: Caching["timeToLive"]): Either.Either<number | Date | undefined, string> =>
  value instanceof Date
    ? Number.isNaN(value.getTime()) ? Either.left("timeToLive is no date") : Either.right(value)
    : time("timeToLive", value)

const heuristics = (value: Caching["heuristics"]): Either.Either<Said["heuristics"], string> =>
  value === undefined || value === false
    ? Either.right(value)
    : Either.gen(function*() {
      const { fraction = 0.1 } = value
      if (!(fraction >= 0 && fraction <= 1)) {
        yield* Either.left(`heuristics.fraction is from 0 to 1, not ${shown(fraction)}`)
      }
      return { atMost: (yield* time("heuristics.atMost", value.atMost)) ?? week, fraction }
    })

const day = 24 * 60 * 60 * 1000
const week = 7 * day

const parseCaching = (caching: Caching): Either.Either<Said, string> =>
  Either.all({
    cacheControl: oneOf<"respect" | "ignore">("cacheControl", caching.cacheControl, ["respect", "ignore"]),
    heuristics: heuristics(caching.heuristics),
    staleIfDisconnected: time("staleIfDisconnected", caching.staleIfDisconnected),
    staleIfError: time("staleIfError", caching.staleIfError),
    staleWhileRevalidate: time("staleWhileRevalidate", caching.staleWhileRevalidate),
    timeToLive: timeToLive(caching.timeToLive)
  })

const nothing: Said = {
  cacheControl: undefined,
  heuristics: undefined,
  staleIfDisconnected: undefined,
  staleIfError: undefined,
  staleWhileRevalidate: undefined,
  timeToLive: undefined
}

/** JSON has no infinity. */
const forEver = Number.MAX_SAFE_INTEGER

const lifeOf = (value: Said["timeToLive"]) => (now: number): number | undefined =>
  value === undefined
    ? undefined
    : Math.min(value instanceof Date ? Math.max(0, value.getTime() - now) : value, forEver)

/** A flag that makes an expression remember where it was would make it forget every other URL. */
const expressionOf = (url: RegExp): (url: URL) => boolean => {
  const expression = new RegExp(url.source, url.flags.replace(/[gy]/g, ""))
  return ({ href }) => expression.test(href)
}

const matcher = ({ url, when }: Rule): (request: HttpClientRequest.HttpClientRequest, url: URL) => boolean => {
  const isUrl = url === undefined
    ? () => true
    : typeof url === "string"
    ? glob(url)
    : url instanceof RegExp
    ? expressionOf(url)
    : url
  return (request, at) => isUrl(at) && when?.(request) !== false
}

const names = (all: ReadonlyArray<string> | undefined): ReadonlyArray<string> =>
  (all ?? []).map((name) => name.toLowerCase())

/** `utm_*` is all that begin so. */
const isIn = (all: ReadonlyArray<string>) => {
  const exact = new Set(all)
  const prefixes = all.flatMap((name) => name.endsWith("*") ? name.slice(0, -1) : [])
  return (name: string): boolean => exact.has(name) || prefixes.some((prefix) => name.startsWith(prefix))
}

const isIgnored = (
  { ignoredParameters, significantParameters }: Options
): QuerySettings["isIgnored"] => {
  if (ignoredParameters === undefined && significantParameters === undefined) return undefined
  const isLeftOut = isIn(ignoredParameters ?? [])
  const isKept = significantParameters === undefined ? () => true : isIn(significantParameters)
  return (name) => isLeftOut(name) || !isKept(name)
}

/** @internal */
export const parseSettings = (options: Options): Either.Either<Settings, string> =>
  Either.gen(function*() {
    const mode = yield* oneOf("mode", options.mode, ["private", "shared"])
    yield* oneOf("onCacheMiss", options.onCacheMiss, ["respond", "fail"])
    const isShared = mode === "shared"
    const ofAll = yield* parseCaching(options)
    const rules = (yield* Either.all((options.rules ?? []).map(parseCaching))).map((said, i) => {
      const rule = options.rules?.[i] ?? {}
      return { isMatch: matcher(rule), isStored: rule.store !== false, said, tags: rule.tags ?? [] }
    })
    const { statuses } = options
    const isNamed = typeof statuses === "function" ? statuses : (status: number) => statuses?.includes(status) === true
    const fixed = {
      isForTimeToLive: statuses === undefined ? isHeuristic : isNamed,
      isShared,
      isStatus: statuses === undefined ? () => true : isNamed,
      targets: names(options.targets),
      vary: Object.fromEntries(Object.entries(options.vary ?? {}).map(([name, value]) => [name.toLowerCase(), value]))
    }
    const apply = (own: Said, rule: typeof rules[number] | undefined, ownTags: ReadonlyArray<string>): Applied => {
      const said = <K extends keyof Said>(name: K): Said[K] => own[name] ?? rule?.said[name] ?? ofAll[name]
      const found = said("heuristics")
      return {
        isCached: rule?.isStored ?? true,
        policy: {
          ...fixed,
          heuristics: found === false ? undefined : found ?? { atMost: week, fraction: 0.1 },
          ignores: said("cacheControl") === "ignore",
          keepsFor: Math.max(
            said("staleIfDisconnected") ?? 0,
            said("staleIfError") ?? 0,
            said("staleWhileRevalidate") ?? 0
          ),
          staleIfDisconnected: said("staleIfDisconnected") ?? day,
          staleIfError: said("staleIfError"),
          staleWhileRevalidate: said("staleWhileRevalidate")
        },
        tags: [...ownTags, ...(rule?.tags ?? [])],
        timeToLive: lifeOf(said("timeToLive"))
      }
    }
    // Most requests say nothing of themselves.
    const ready = rules.map((rule) => apply(nothing, rule, []))
    const readyForAll = apply(nothing, undefined, [])
    const isSilent = (own: RequestOptions): boolean => {
      for (const name in own) if (name !== "mode") return false
      return true
    }
    return {
      appliedTo: (request, url, own) => {
        const at = rules.findIndex(({ isMatch }) => isMatch(request, url))
        return isSilent(own)
          ? Either.right(ready[at] ?? readyForAll)
          : Either.map(parseCaching(own), (said) => apply(said, rules[at], own.tags ?? []))
      },
      dropped: names(options.droppedHeaders),
      general: readyForAll,
      isShared,
      keyHeaders: [...names(options.keyHeaders)].sort(),
      methods: new Set((options.methods ?? ["GET", "HEAD"]).map((method) => method.toUpperCase())),
      query: { isIgnored: isIgnored(options), isSorted: options.sortedQuery ?? false },
      retain: (yield* time("retain", options.retain)) ?? week,
      tagHeaders: ["cache-groups", ...names(options.tagHeaders)]
    }
  })
