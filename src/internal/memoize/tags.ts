/**
 * Invalidation by tag. An answer keeps the version that invalidations had come to when it began to be computed; each
 * invalidation has the next one, and leaves it at its tags. An answer is valid if its tags have no later version: no
 * clock is compared, and an invalidation is never forgotten.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Storage from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import { keyOf } from "../adapters/keys.js"
import { withNow } from "../storage/compat.js"
import { forgettingTagged } from "./inMemory.js"
import { soundly } from "./soundly.js"

const keyspaceName = "memo:tags"
const sequence = "sequence"

/** Later than any time of an invalidation, softly or not. */
interface Invalidated {
  readonly hard: number
  readonly soft: number
}

const parse = (entry: Option.Option<Storage.Entry> | undefined): Invalidated => {
  if (entry === undefined || Option.isNone(entry)) return { hard: 0, soft: 0 }
  const [hard = 0, soft = 0] = String(entry.value.value).split(" ").map(Number)
  return { hard, soft }
}

const tagKey = (tag: string): string => `tag ${keyOf(tag)}`

/**
 * What invalidations have made of an answer.
 *
 * @internal
 */
export type Validity = "valid" | "soft" | "hard"

/** @internal */
export interface Tags {
  /** What invalidations have come to. */
  readonly version: Effect.Effect<number, StorageError>
  /** What has become, of each list of tags, of an answer of that version. */
  readonly check: (
    answers: ReadonlyArray<{ readonly tags: ReadonlyArray<string>; readonly version: number }>
  ) => Effect.Effect<ReadonlyArray<Validity>, StorageError>
}

/** @internal */
export const open = (storage: Storage.Storage["Type"]): Effect.Effect<Tags, StorageError> =>
  Effect.map(storage.keyspace(keyspaceName), (keyspace): Tags => ({
    check: (answers) => {
      const tags = [...new Set(answers.flatMap(({ tags }) => tags))]
      if (tags.length === 0) return Effect.succeed(answers.map(() => "valid"))
      return Effect.map(soundly(keyspace.getMany(tags.map(tagKey))), (entries) => {
        const found = new Map(tags.map((tag, i) => [tag, parse(entries[i])]))
        return answers.map(({ tags, version }) => {
          const latest = (kind: keyof Invalidated) => Math.max(...tags.map((tag) => found.get(tag)?.[kind] ?? 0))
          return tags.length === 0
            ? "valid"
            : latest("hard") > version
            ? "hard"
            : latest("soft") > version
            ? "soft"
            : "valid"
        })
      })
    },
    version: Effect.map(soundly(keyspace.get(sequence)), (entry) => parse(entry).hard)
  }))

/** @internal */
export const invalidate = (
  tags: Iterable<string>,
  options?: { readonly soft?: boolean | undefined }
): Effect.Effect<void, StorageError, Storage.Storage> => {
  const kind: keyof Invalidated = options?.soft === true ? "soft" : "hard"
  const keys = [...new Set(tags)].map(tagKey)
  return Effect.flatMap(
    Storage.Storage,
    (storage) =>
      keys.length === 0 ?
        Effect.void :
        Effect.flatMap(storage.keyspace(keyspaceName), (keyspace) =>
          withNow((now) =>
            storage.transaction(
              Effect.flatMap(
                // Not below the clock: if the sequence is lost, what is invalid stays so.
                soundly(keyspace.modify(sequence, (entry) => {
                  const next = Math.max(parse(entry).hard + 1, now)
                  return [next, Storage.put(String(next))]
                })),
                (version) =>
                  Effect.flatMap(soundly(keyspace.getMany(keys)), (entries) =>
                    soundly(keyspace.setMany(keys.map((key, i) => {
                      const { hard, soft }: Invalidated = { ...parse(entries[i]), [kind]: version }
                      return { expiresAt: undefined, key, value: `${hard} ${soft}` }
                    }))))
              ),
              { retry: true }
            )
          )).pipe(Effect.ensuring(forgettingTagged(storage)))
  )
}
