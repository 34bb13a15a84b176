/**
 * Cursors: a key, and a direction. Nothing is held between two operations; where the record is gone, the cursor is on the
 * next greater one.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { KtError } from "../../KtError.js"
import type { Cursor, Entry, Failure } from "../../KtTransport.js"
import type * as Storage from "../../Storage.js"
import { oneByOne } from "../done.js"
import { copyBytes } from "../storage/keys.js"
import { type Database, stored } from "./databases.js"
import { write } from "./records.js"

/** Where a cursor is: at a key, or just beyond it in its direction. */
interface Position {
  readonly key: Uint8Array
  readonly beyond: boolean
  /** How often the database had been cleared by then. */
  readonly cleared: number
}

/** @internal */
export const make = (database: Database): Cursor => {
  let position: Position | undefined
  let isBackward = false
  // The keyspace of a database is fixed; how often it was cleared is not.
  const { keyspace } = database

  const stand = (key: Uint8Array | undefined, beyond = false, cleared = database.cleared): boolean => {
    // The user may change the bytes that were given out, or came in.
    position = key === undefined ? undefined : { beyond, cleared, key: copyBytes(key) }
    return key !== undefined
  }

  const standOn = (range: Storage.Range<Uint8Array>): Effect.Effect<boolean, Failure> =>
    Effect.map(keyspace.peek(range, 1), ([entry]) => stand(entry?.key))

  /** The records from the one under it on, in key order, at most so many. If there is none, it loses its position. */
  const here = (limit: number): Effect.Effect<ReadonlyArray<Storage.Entry<Uint8Array>>, Failure> => {
    if (position === undefined || position.cleared !== database.cleared) return Effect.succeed([])
    const { beyond, key } = position
    const found = !beyond
      ? keyspace.peek({ from: key }, limit)
      : !isBackward
      ? keyspace.peek({ after: key }, limit)
      : Effect.flatMap(
        keyspace.peek({ reverse: true, to: key }, 1),
        ([entry]) => entry === undefined ? Effect.succeed([]) : keyspace.peek({ from: entry.key }, limit)
      )
    return Effect.map(found, (entries) => {
      if (entries.length === 0) stand(undefined)
      return entries
    })
  }

  /** One further than the record under it, which is the first of these. */
  const further = (entries: ReadonlyArray<Storage.Entry<Uint8Array>>): Effect.Effect<boolean, Failure> => {
    const [current, next] = entries
    return current === undefined
      ? Effect.succeed(false)
      : isBackward
      ? standOn({ reverse: true, to: current.key })
      : Effect.succeed(stand(next?.key))
  }

  const ordered = <A>(method: string, self: Effect.Effect<A, Failure>): Effect.Effect<A, Failure> =>
    database.isOrdered ? self : Effect.fail(
      new KtError({
        detail: `the database ${database.path} has no order; use one that has, like "%"`,
        method,
        reason: "NotImplemented"
      })
    )

  /** Goes in a direction from then on: not if the key is refused. */
  const heading = (backward: boolean, moved: Effect.Effect<boolean, Failure>): Effect.Effect<boolean, Failure> =>
    Effect.map(moved, (isThere) => {
      isBackward = backward
      return isThere
    })

  // Where it is depends on the direction in which it went there.
  const step = Effect.flatMap(Effect.suspend(() => here(2)), (entries) => {
    isBackward = false
    return further(entries)
  })

  const stepBack = Effect.suspend(() => {
    // Also if the record is gone, and whatever comes after it.
    if (position !== undefined && !position.beyond && position.cleared === database.cleared) {
      return heading(true, standOn({ reverse: true, to: position.key }))
    }
    return Effect.flatMap(here(1), (entries) => {
      isBackward = true
      return further(entries)
    })
  })

  const set: Cursor["set"] = (value, step, expiry) =>
    Effect.flatMap(Effect.suspend(() => here(2)), (entries) => {
      const [entry] = entries
      if (entry === undefined) return Effect.succeed(false)
      stand(entry.key)
      return Effect.flatMap(write(keyspace, entry.key, value, expiry, (isThere) => isThere), (isWritten) =>
        // Somebody has removed it meanwhile: then it is on the next.
        !isWritten ? set(value, step, expiry) : step ? Effect.as(further(entries), true) : Effect.succeed(true))
    })

  const seize: Cursor["seize"] = Effect.flatMap(Effect.suspend(() => here(1)), ([entry]) => {
    if (entry === undefined) return Effect.succeedNone
    stand(entry.key)
    return Effect.flatMap(
      keyspace.take({ from: entry.key, through: entry.key }, 1),
      ([taken]) =>
        taken === undefined ? seize : Effect.as(
          standOn(isBackward ? { reverse: true, to: entry.key } : { after: entry.key }),
          Option.some(stored(taken))
        )
    )
  })

  return {
    entries: Stream.unwrap(
      Effect.map(Effect.suspend(() => here(1)), ([entry]) => {
        if (entry === undefined) return Stream.empty
        const { cleared } = database
        return Stream.concat(
          oneByOne(
            keyspace.entries(isBackward ? { reverse: true, through: entry.key } : { from: entry.key }),
            (found) => {
              // What was read before the database was cleared gives no position in it.
              stand(found.key, true, cleared)
              return stored(found)
            }
          ),
          Stream.execute(Effect.sync(() => stand(undefined)))
        )
      })
    ),
    get: (step) =>
      Effect.flatMap(
        Effect.suspend(() => here(step && !isBackward ? 2 : 1)),
        (entries): Effect.Effect<Option.Option<Entry>, Failure> => {
          const [entry] = entries
          if (entry === undefined) return Effect.succeedNone
          const found = Option.some(stored(entry))
          if (step) return Effect.as(further(entries), found)
          stand(entry.key)
          return Effect.succeed(found)
        }
      ),
    jump: (key) =>
      heading(
        false,
        Effect.suspend(() =>
          key === undefined || database.isOrdered
            ? standOn({ from: key })
            : Effect.map(keyspace.head(key), (found) => stand(Option.isSome(found) ? key : undefined))
        )
      ),
    jumpBack: (key) =>
      ordered("jumpBack", heading(true, Effect.suspend(() => standOn({ reverse: true, through: key })))),
    seize,
    set,
    step,
    stepBack: ordered("stepBack", stepBack)
  }
}
