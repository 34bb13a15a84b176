/**
 * The bodies of stored responses, in a keyspace of their own. A body is chunks, `b`, key, id and number. There is a row
 * `d`, time, key and id for each as well, which says when the body is looked at next: it goes if no response has it any
 * more. So nothing is left of what has expired, was replaced, or did not come to its end, whoever was killed meanwhile.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import type { Body, StoredResponse } from "../../HttpCacheStore.js"
import type { Entry, Keyspace } from "../../Storage.js"
import type { InvalidKey, StorageError } from "../../StorageError.js"
import { withNow } from "../storage/compat.js"
import { failing, Fault } from "../storage/fault.js"
import { soundly } from "../store/soundly.js"
import { chunkBytes, isIntact, Pieces, rowBytes } from "./chunks.js"

/** How long a download may go on before its chunks are taken for the remains of one that was killed. */
const longestDownload = Duration.toMillis("1 day")

/** How long a body is kept that somebody may be reading. */
const grace = Duration.toMillis("2 minutes")

const timeOf = (millis: number): string => String(Math.max(0, Math.ceil(millis))).padStart(15, "0")
const dueKey = (at: number, key: string, id: string): string => `d${timeOf(at)} ${key} ${id}`
const bodyPrefix = (key: string, id: string): string => `b${key} ${id} `
const chunkKey = (key: string, id: string, n: number): string => bodyPrefix(key, id) + String(n).padStart(8, "0")
const row = (key: string, value: string | Uint8Array): Entry => ({ expiresAt: undefined, key, value })
const due = (at: number, key: string, id: string): Entry => row(dueKey(at, key, id), "")

let written = 0

/** The time, so that who reads the keys sees it, and what makes it unlike all others. */
const makeId = withNow((now) =>
  Effect.map(Random.nextIntBetween(0, 2 ** 30), (random) => {
    written = (written + 1) % 2 ** 20
    return `${Math.max(0, Math.floor(now)).toString(36)}-${written.toString(36)}-${random.toString(36)}`
  })
)

/**
 * How long a body may be, unless that is said: there are some without end.
 *
 * @internal
 */
export const mostEntryBytes = 2 ** 32

/**
 * A body is longer than it may be.
 *
 * @internal
 */
export const tooLarge = Symbol("effect-kv/tooLarge")

type Trouble = StorageError | InvalidKey

/**
 * A body whose time has come.
 *
 * @internal
 */
export interface Due {
  readonly id: string
  readonly key: string
  readonly row: string
}

/** What is read of a body: from one byte through another. */
interface Part {
  readonly first: number
  readonly last: number
}

/** @internal */
export const makeBodies = (keyspace: Keyspace, mostBytes: number) => {
  /** Those that are being written here. */
  const unfinished = new Set<string>()
  /** How many read a body of several chunks here. */
  const readers = new Map<string, number>()

  const dueIn = (millis: number, key: string, id: string): Effect.Effect<void, Trouble> =>
    withNow((now) => keyspace.set(dueKey(now + millis, key, id), ""))

  /** Tells how many chunks went. Who reads it here reads it to its end. */
  const clear = (key: string, id: string): Effect.Effect<number, Trouble> =>
    Effect.suspend(() =>
      readers.has(id)
        ? Effect.as(dueIn(grace, key, id), 0)
        : keyspace.clear({ prefix: bodyPrefix(key, id) })
    )

  /**
   * Has a body go of which nothing is known any more. One of several chunks may be read at this moment, by another process
   * perhaps, and so it goes a little later.
   */
  const retire = (key: string, { bytes, expiresAt, id }: StoredResponse): Effect.Effect<void, Trouble> =>
    bytes <= chunkBytes
      ? Effect.zipRight(
        expiresAt === undefined ? Effect.void : keyspace.remove(dueKey(expiresAt, key, id)),
        Effect.asVoid(clear(key, id))
      )
      : dueIn(grace, key, id)

  const leave = (id: string): void => {
    const left = (readers.get(id) ?? 1) - 1
    if (left > 0) readers.set(id, left)
    else readers.delete(id)
  }
  const enter = (id: string): void => void readers.set(id, (readers.get(id) ?? 0) + 1)
  /** Those that were given to somebody, who has not begun to read them. */
  const unread = new FinalizationRegistry<string>(leave)
  /** A body that is there from now on until it was read, or is forgotten. */
  const held = (id: string, bytes: number, stream: Stream.Stream<Uint8Array, StorageError>): Body => {
    enter(id)
    const token = {}
    let isHeld = true
    const body: Body = {
      bytes,
      stream: Stream.suspend(() => {
        if (isHeld) unread.unregister(token)
        else enter(id)
        isHeld = false
        return Stream.ensuring(stream, Effect.sync(() => leave(id)))
      }),
      whole: undefined
    }
    // Of the stream, too: who has that alone has the body.
    unread.register(body.stream, id, token)
    return body
  }

  /**
   * Stores a body, of which nothing is left if it does not come to its end or `use` does not want it; `use` is given what
   * it has come to.
   */
  const write = <E, R, E2>(
    key: string,
    body: Uint8Array | Stream.Stream<Uint8Array, E, R>,
    dueAt: number | undefined,
    use: (written: { readonly bytes: number; readonly id: string }) => Effect.Effect<boolean, E2>
  ): Effect.Effect<boolean, E | E2 | Trouble | typeof tooLarge, R> =>
    Effect.flatMap(makeId, (id) =>
      withNow((now): Effect.Effect<boolean, E | E2 | Trouble | typeof tooLarge, R> => {
        const pieces = new Pieces()
        const absorb = (piece: Uint8Array): Effect.Effect<void, Trouble | typeof tooLarge> => {
          if (pieces.bytes + piece.byteLength > mostBytes) return Effect.fail(tooLarge)
          const full = pieces.add(piece)
          if (full.length === 0) return Effect.void
          const first = pieces.chunks - full.length
          return keyspace.setMany([
            ...full.map((chunk, i) => row(chunkKey(key, id, first + i), chunk)),
            ...(first === 0 ? [due(now + longestDownload, key, id)] : [])
          ])
        }
        const received: Effect.Effect<void, E | Trouble | typeof tooLarge, R> = body instanceof Uint8Array
          ? absorb(body)
          : Stream.runForEach(body, absorb)
        const last = Effect.suspend(() => {
          const rest = pieces.end()
          return keyspace.setMany([
            ...(rest === undefined ? [] : [row(chunkKey(key, id, pieces.chunks - 1), rest)]),
            due(Math.min(dueAt ?? Infinity, now + longestDownload), key, id)
          ])
        })
        const used = Effect.suspend(() => use({ bytes: pieces.bytes, id }))
        const cleared = Effect.suspend(() => pieces.chunks === 0 ? Effect.void : Effect.ignore(clear(key, id)))
        unfinished.add(id)
        return received.pipe(
          Effect.zipRight(Effect.uninterruptible(Effect.zipRight(last, used))),
          Effect.tap((isUsed) => isUsed ? Effect.void : cleared),
          Effect.onError(() => cleared),
          Effect.ensuring(Effect.sync(() => unfinished.delete(id)))
        )
      }))

  const chunkOf = (key: string, id: string, bytes: number, n: number) =>
    Effect.map(keyspace.get(chunkKey(key, id, n)), (found) => {
      const value = Option.getOrUndefined(found)?.value
      const length = Math.min(chunkBytes, bytes - n * chunkBytes)
      return value instanceof Uint8Array && isIntact(value, length)
        ? Option.some(value.subarray(0, length))
        : Option.none()
    })

  const corrupt = failing("HttpCacheStore.body", keyspace.name)(
    new Fault("Corrupt", "a piece of a stored body is damaged or gone; the response is removed, ask for it again")
  )

  /** Chunk by chunk; `onDamaged` is done where one is damaged, and then it fails. */
  const pieces = (key: string, id: string, bytes: number, { first, last }: Part, onDamaged: Effect.Effect<void>) =>
    Stream.unfoldEffect(
      Math.floor(first / chunkBytes),
      (n): Effect.Effect<Option.Option<readonly [Uint8Array, number]>, StorageError> => {
        const start = n * chunkBytes
        if (start > last) return Effect.succeedNone
        return Effect.flatMap(soundly(chunkOf(key, id, bytes, n)), (chunk) =>
          Option.isNone(chunk)
            ? Effect.zipRight(onDamaged, Effect.fail(corrupt))
            : Effect.succeedSome([chunk.value.subarray(Math.max(0, first - start), last - start + 1), n + 1]))
      }
    )

  /** None if it is damaged, or gone. */
  const read = (
    key: string,
    id: string,
    bytes: number,
    part: Part,
    onDamaged: Effect.Effect<void>
  ): Effect.Effect<Option.Option<Body>, Trouble> => {
    if (bytes === 0) return Effect.succeedSome({ bytes: 0, stream: Stream.empty, whole: new Uint8Array(0) })
    const length = part.last - part.first + 1
    if (bytes <= chunkBytes) {
      return Effect.map(
        chunkOf(key, id, bytes, 0),
        Option.map((chunk) => {
          const whole = chunk.subarray(part.first, part.last + 1)
          return { bytes: length, stream: Stream.make(whole), whole }
        })
      )
    }
    return Effect.map(
      keyspace.stat({ prefix: bodyPrefix(key, id) }),
      (stat) =>
        stat.entries === Math.ceil(bytes / chunkBytes) &&
          stat.bytes === rowBytes(bytes, Buffer.byteLength(chunkKey(key, id, 0)))
          ? Option.some(held(id, length, pieces(key, id, bytes, part, onDamaged)))
          : Option.none()
    )
  }

  /** Those whose time has come, at most so many. */
  const dueAt = (now: number, limit: number): Effect.Effect<ReadonlyArray<Due>, Trouble> =>
    Effect.map(
      Stream.runCollect(keyspace.keys({ limit, prefix: "d", to: `d${timeOf(now + 1)}` })),
      (rows) =>
        Chunk.toReadonlyArray(rows).map((row) => ({
          id: row.slice(row.lastIndexOf(" ") + 1),
          key: row.slice(row.indexOf(" ") + 1, row.lastIndexOf(" ")),
          row
        }))
    )

  /** Has been looked at. It is looked at again at a time if it is still there. */
  const looked = ({ id, key, row }: Due, now: number, again: number | undefined): Effect.Effect<void, Trouble> => {
    const next = dueKey(Math.min(again ?? Infinity, now + longestDownload), key, id)
    return next === row ? Effect.void : Effect.zipRight(keyspace.set(next, ""), Effect.asVoid(keyspace.remove(row)))
  }

  return {
    bytes: Effect.map(keyspace.stat({ prefix: "b" }), ({ bytes }) => bytes),
    clear,
    clearAll: Effect.asVoid(keyspace.clear()),
    hasReaders: (): boolean => readers.size > 0,
    dueAt,
    forget: ({ row }: Due) => Effect.asVoid(keyspace.remove(row)),
    /** Whether it is being written or read here. */
    isBusy: (id: string): boolean => unfinished.has(id) || readers.has(id),
    looked,
    read,
    retire,
    write
  }
}
