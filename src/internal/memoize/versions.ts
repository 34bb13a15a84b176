/**
 * Invalidation by numbers. Each invalidation has the next number and leaves it at what it invalidates: a tag, a call, or
 * all calls of a function. An answer keeps the number that invalidations had come to when the function was called; it is
 * stored, and with tags it is valid, if there is no later one. No clocks are compared.
 *
 * The numbers of tags are kept for ever. Those of calls only decide what is stored: they are kept for as long as a
 * function may take.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Storage from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import { withNow } from "../storage/compat.js"
import { keyOf } from "../store/anyText.js"
import { soundly } from "../store/soundly.js"
import { announcingTags } from "./coherence.js"

const keyspaceName = "memo:versions"
const sequence = "sequence"

/** How long the number of a call is kept, in milliseconds. */
const remembered = 300_000

/** The last number of an invalidation, and of a soft one. */
interface Row {
  readonly hard: number
  readonly soft: number
}

type Kind = keyof Row

const numberIn = (text: string | undefined): number => {
  const parsed = Number(text)
  return Number.isFinite(parsed) ? parsed : 0
}

const parse = (entry: Option.Option<Storage.Entry> | undefined): Row => {
  const [hard, soft] = entry === undefined || Option.isNone(entry) ? [] : String(entry.value.value).split(" ")
  return { hard: numberIn(hard), soft: numberIn(soft) }
}

const tagKey = (tag: string): string => `tag ${keyOf(tag)}`
const callKey = (key: string): string => `call ${key}`
const allKey = (keyspace: string): string => `all ${keyOf(keyspace)}`

/**
 * What invalidations have made of an answer.
 *
 * @internal
 */
export type Validity = "valid" | "soft" | "hard"

/** @internal */
export interface Versioned {
  readonly tags: ReadonlyArray<string>
  readonly version: number
}

/** @internal */
export interface Versions {
  /** What invalidations have come to. */
  readonly current: Effect.Effect<number, StorageError>
  /** What has become of answers, by their tags. */
  readonly check: (answers: ReadonlyArray<Versioned>) => Effect.Effect<ReadonlyArray<Validity>, StorageError>
  /** Whether answers are still to be stored; in the transaction in which they are. */
  readonly areCurrent: (
    answers: ReadonlyArray<Versioned & { readonly key: string }>
  ) => Effect.Effect<ReadonlyArray<boolean>, StorageError>
  /** Has nothing be stored that is being computed for a call, or for any. */
  readonly raise: (key: string | undefined) => Effect.Effect<void, StorageError>
}

/** The next number, for these rows: all or none. */
const raising = (
  storage: Storage.Storage["Type"],
  keyspace: Storage.Keyspace,
  keys: ReadonlyArray<string>,
  kind: Kind,
  life: number
): Effect.Effect<void, StorageError> =>
  withNow((now) =>
    storage.transaction(
      Effect.gen(function*() {
        // Not below the clock: if the sequence is lost, what is invalid stays so.
        const next = yield* keyspace.modify(sequence, (entry) => {
          const next = Math.max(parse(entry).hard + 1, Math.floor(now))
          return [next, Storage.put(String(next))]
        })
        const before = yield* keyspace.getMany(keys)
        yield* keyspace.setMany(keys.map((key, i) => {
          const { hard, soft }: Row = { ...parse(before[i]), [kind]: next }
          return { expiresAt: now + life, key, value: `${hard} ${soft}` }
        }))
      }).pipe(soundly),
      { retry: true }
    )
  )

/**
 * For a function whose answers are in that keyspace.
 *
 * @internal
 */
export const open = (
  storage: Storage.Storage["Type"],
  answers: string
): Effect.Effect<Versions, StorageError> =>
  Effect.map(storage.keyspace(keyspaceName), (keyspace): Versions => {
    const rowsOf = (keys: ReadonlyArray<string>): Effect.Effect<(key: string) => Row, StorageError> =>
      keys.length === 0
        ? Effect.succeed(() => parse(undefined))
        : Effect.map(soundly(keyspace.getMany(keys)), (entries) => {
          const rows = new Map(keys.map((key, i) => [key, parse(entries[i])]))
          return (key) => rows.get(key) ?? parse(undefined)
        })
    const everyTag = (
      answers: ReadonlyArray<Versioned>
    ) => [...new Set(answers.flatMap(({ tags }) => tags.map(tagKey)))]
    return {
      areCurrent: (asked) => {
        const all = allKey(answers)
        return Effect.map(
          rowsOf([all, ...asked.map(({ key }) => callKey(key)), ...everyTag(asked)]),
          (rowOf) =>
            asked.map(({ key, tags, version }) =>
              [all, callKey(key), ...tags.map(tagKey)].every((key) => rowOf(key).hard <= version)
            )
        )
      },
      check: (asked) =>
        Effect.map(rowsOf(everyTag(asked)), (rowOf) =>
          asked.map(({ tags, version }) => {
            const isPast = (kind: Kind) => tags.some((tag) => rowOf(tagKey(tag))[kind] > version)
            return isPast("hard") ? "hard" : isPast("soft") ? "soft" : "valid"
          })),
      current: Effect.map(soundly(keyspace.get(sequence)), (entry) => parse(entry).hard),
      raise: (key) =>
        raising(storage, keyspace, [key === undefined ? allKey(answers) : callKey(key)], "hard", remembered)
    }
  })

/** @internal */
export const invalidateTags = (
  tags: Iterable<string>,
  options?: { readonly soft?: boolean | undefined }
): Effect.Effect<void, StorageError, Storage.Storage> => {
  const keys = [...new Set(tags)].map(tagKey)
  return Effect.flatMap(Storage.Storage, (storage) =>
    keys.length === 0
      ? Effect.void
      : Effect.ensuring(
        Effect.flatMap(
          storage.keyspace(keyspaceName),
          (keyspace) => raising(storage, keyspace, keys, options?.soft === true ? "soft" : "hard", Infinity)
        ),
        announcingTags(storage)
      ))
}
