/**
 * How a stored answer is read and judged.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { CodecError } from "../../Codec.js"
import type { InvalidKey, StorageError } from "../../StorageError.js"
import { andThen } from "../done.js"
import { soundly } from "../store/soundly.js"
import type { Call } from "./calls.js"
import { type Entry, entryOf } from "./entry.js"
import type { Parts } from "./parts.js"
import type { Validity, Versioned } from "./versions.js"

/**
 * What is known of a stored answer.
 *
 * @internal
 */
export interface Known {
  /** Undefined: there is none that counts. */
  readonly entry: Entry | undefined
  /** It was invalidated softly. */
  readonly isSoft: boolean
}

/** @internal */
export const nothing: Known = { entry: undefined, isSoft: false }

const knownOf = (entry: Entry | undefined, validity: Validity): Known =>
  entry === undefined || validity === "hard" ? nothing : { entry, isSoft: entry.isSoft || validity === "soft" }

/**
 * What may be done with a stored answer: it is the answer; it is, while there is a new one computed (`revalidate`), or
 * for a while without (`resting`); it is if the function fails or is slow (`fallback`); nothing.
 *
 * @internal
 */
export type Judgement = "fresh" | "revalidate" | "resting" | "fallback" | "none"

const untagged: Versioned = { tags: [], version: 0 }

/** @internal */
export type Reading<Args extends ReadonlyArray<unknown>, A, F> = ReturnType<typeof makeReading<Args, A, F>>

/** @internal */
export const makeReading = <Args extends ReadonlyArray<unknown>, A, F>(
  { failures, keyspace, memory, settings, successes, versions }: Parts<Args, A, F>
) => {
  /** Reads what is stored for a call. One effect where there are no tags: calls that hit do little else. */
  const reading = <B, E, E2>(
    call: Call<Args>,
    onFailure: (error: StorageError) => Effect.Effect<B, E>,
    onSuccess: (known: Known) => Effect.Effect<B, E2>
  ): Effect.Effect<B, E | E2> => {
    const failed = (error: StorageError | InvalidKey) =>
      error._tag === "InvalidKey" ? Effect.die(error) : onFailure(error)
    return Effect.matchEffect(keyspace.get(call.key), {
      onFailure: failed,
      onSuccess: (found) => {
        const entry = entryOf(found)
        return entry === undefined || entry.tags.length === 0
          ? onSuccess(knownOf(entry, "valid"))
          : Effect.matchEffect(versions.check([entry]), {
            onFailure: failed,
            onSuccess: ([validity = "valid"]) => onSuccess(knownOf(entry, validity))
          })
      }
    })
  }
  const read = (call: Call<Args>): Effect.Effect<Known, StorageError> => reading(call, Effect.fail, Effect.succeed)

  /** In one round trip, and another one for all tags. */
  const readMany = (calls: ReadonlyArray<Call<Args>>): Effect.Effect<ReadonlyArray<Known>, StorageError> =>
    Effect.flatMap(soundly(keyspace.getMany(calls.map((call) => call.key))), (found) => {
      const entries = found.map(entryOf)
      return Effect.map(
        versions.check(entries.map((entry) => entry ?? untagged)),
        (validities) => entries.map((entry, i) => knownOf(entry, validities[i] ?? "valid"))
      )
    })

  const isFallback = ({ entry, isSoft }: Known, now: number): boolean =>
    entry !== undefined && (isSoft || now < entry.freshUntil + settings.staleIfError)

  const judge = (known: Known, now: number): Judgement => {
    const { entry, isSoft } = known
    if (entry === undefined) return "none"
    if (!isSoft && now < entry.freshUntil) return "fresh"
    const isResting = now < entry.retryAt
    return settings.staleWhileRevalidate > 0 && (isSoft || now < entry.freshUntil + settings.staleWhileRevalidate)
      ? isResting ? "resting" : "revalidate"
      : isFallback(known, now)
      ? isResting ? "resting" : "fallback"
      : "none"
  }

  /** The answer that an entry holds. */
  const decode = (call: Call<Args>, { body, kind }: Entry): Effect.Effect<Exit.Exit<A, F>, CodecError> => {
    const at = { key: call.key, keyspace: keyspace.name }
    if (kind === "success") return andThen(successes.decode(body, at), (value) => Exit.succeed(Exit.succeed(value)))
    return failures === undefined
      ? Exit.fail(
        new CodecError({ ...at, detail: "it is a failure, and there is no schema for one", operation: "decode" })
      )
      : andThen(failures.decode(body, at), (error) => Exit.succeed(Exit.fail(error)))
  }

  /** Keeps a fresh answer in memory, unless there is something newer since it was read, or computed. */
  const hold = (call: Call<Args>, entry: Entry, exit: Exit.Exit<A, F>, now: number, moment: number): void => {
    if (memory === undefined || call.situation === "transaction") return
    const { freshUntil, lookupMillis, tags } = entry
    memory.set(call.text, { exit, freshUntil, lookupMillis, storedAs: call.key, tagged: tags.length > 0 }, now, moment)
  }

  return { decode, hold, isFallback, judge, read, reading, readMany }
}
