/**
 * The options of a memoised function, checked once: what is none is an error of the layer.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import { parseDuration, shown } from "../storage/duration.js"

/**
 * What of the options does not depend on their types.
 *
 * @internal
 */
export interface SettingsOptions {
  readonly backOff?: Duration.DurationInput | undefined
  readonly earlyRefresh?: boolean | { readonly beta?: number | undefined } | undefined
  readonly eviction?: "least-recently-stored" | "least-recently-used" | undefined
  readonly hardTimeout?: Duration.DurationInput | undefined
  readonly inMemory?: {
    readonly capacity: number
    readonly maxAge?: Duration.DurationInput | undefined
  } | undefined
  readonly lease?: Duration.DurationInput | undefined
  readonly maxBytes?: number | undefined
  readonly maxEntries?: number | undefined
  readonly onDecodeFailure?: "recompute" | "fail" | undefined
  readonly onStorageFailure?: "call" | "fail" | undefined
  readonly softTimeout?: Duration.DurationInput | undefined
  readonly staleIfError?: Duration.DurationInput | undefined
  readonly staleWhileRevalidate?: Duration.DurationInput | undefined
  readonly timeToLive: Duration.DurationInput | ((exit: never, args: never) => Duration.DurationInput)
}

/**
 * Times in milliseconds.
 *
 * @internal
 */
export interface Settings {
  readonly backOff: number
  /** Zero: never. */
  readonly beta: number
  readonly bounds: { readonly countsUse: boolean; readonly maxBytes: number; readonly maxEntries: number } | undefined
  readonly hardTimeout: number | undefined
  readonly inMemory: { readonly capacity: number; readonly maxAge: number } | undefined
  readonly lease: number | undefined
  readonly softTimeout: number | undefined
  readonly staleIfError: number
  readonly staleWhileRevalidate: number
}

const oneOf = <A extends string>(name: string, value: A | undefined, all: readonly [A, A]): Either.Either<A, string> =>
  value === undefined || all.includes(value)
    ? Either.right(value ?? all[0])
    : Either.left(`${name} is ${all.map(shown).join(" or ")}, not ${shown(value)}`)

const time = (name: string, value: Duration.DurationInput, least = 0): Either.Either<number, string> =>
  Either.mapLeft(
    Either.filterOrLeft(
      parseDuration(value),
      (millis) => millis >= least,
      () => `${shown(value)} is too short; give at least ${least} milliseconds`
    ),
    (issue) => `${name}: ${issue}`
  )
const finite = (name: string, millis: number | undefined): Either.Either<number | undefined, string> =>
  millis === Infinity ? Either.left(`${name} must end: whoever holds it may be killed`) : Either.right(millis)
const orTime = <A>(name: string, value: Duration.DurationInput | undefined, otherwise: A, least?: number) =>
  value === undefined ? Either.right(otherwise) : time(name, value, least)

const positive = (name: string, value: number): Either.Either<number, string> =>
  typeof value === "number" && value > 0
    ? Either.right(value)
    : Either.left(`${name} is above zero, not ${shown(value)}`)
const orPositive = (name: string, value: number | undefined, otherwise: number) =>
  value === undefined ? Either.right(otherwise) : positive(name, value)

/** @internal */
export const parseSettings = (options: SettingsOptions): Either.Either<Settings, string> =>
  Either.gen(function*() {
    const { earlyRefresh, inMemory, timeToLive } = options
    if (typeof timeToLive !== "function") yield* time("timeToLive", timeToLive, -Infinity)
    const eviction = yield* oneOf("eviction", options.eviction, ["least-recently-stored", "least-recently-used"])
    yield* oneOf("onDecodeFailure", options.onDecodeFailure, ["recompute", "fail"])
    yield* oneOf("onStorageFailure", options.onStorageFailure, ["call", "fail"])
    const maxBytes = yield* orPositive("maxBytes", options.maxBytes, Infinity)
    const maxEntries = yield* orPositive("maxEntries", options.maxEntries, Infinity)
    return {
      backOff: yield* orTime("backOff", options.backOff, 10_000),
      beta: earlyRefresh === undefined || earlyRefresh === false
        ? 0
        : yield* orPositive("earlyRefresh.beta", earlyRefresh === true ? undefined : earlyRefresh.beta, 1),
      bounds: maxBytes === Infinity && maxEntries === Infinity
        ? undefined
        : { countsUse: eviction === "least-recently-used", maxBytes, maxEntries },
      hardTimeout: yield* orTime("hardTimeout", options.hardTimeout, undefined),
      inMemory: inMemory && {
        capacity: yield* positive("inMemory.capacity", inMemory.capacity),
        maxAge: yield* orTime("inMemory.maxAge", inMemory.maxAge, 1000)
      },
      lease: yield* Either.flatMap(orTime("lease", options.lease, undefined, 1), (millis) => finite("lease", millis)),
      softTimeout: yield* orTime("softTimeout", options.softTimeout, undefined),
      staleIfError: yield* orTime("staleIfError", options.staleIfError, 0),
      staleWhileRevalidate: yield* orTime("staleWhileRevalidate", options.staleWhileRevalidate, 0)
    }
  })
