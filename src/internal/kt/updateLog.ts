/**
 * The update log: a keyspace in the `Storage` of the first database, into which every change is written in the transaction
 * that makes it. Keys are times; what is logged has the form of the original, which its replicas understand.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { KtError } from "../../KtError.js"
import type { Change, Failure, LogFile } from "../../KtTransport.js"
import type * as Storage from "../../Storage.js"
import type { InvalidKey, StorageError } from "../../StorageError.js"
import { withNow } from "../storage/compat.js"
import { bytesOf } from "./bytes.js"
import { type Bytes, type Database, together } from "./databases.js"
import { fromXt, toXt, xtMax } from "./expiry.js"
import { readVarnum, varnum } from "./formats.js"

const name = "kt:ulog"

type Operation =
  | {
    readonly _tag: "Set"
    readonly key: Uint8Array
    readonly value: Uint8Array
    readonly expiresAt: number | undefined
  }
  | { readonly _tag: "Remove"; readonly key: Uint8Array }
  | { readonly _tag: "Clear" }

const codes = { Clear: 0xa5, Remove: 0xa2, Set: 0xa1 } as const

const message = (serverId: number, database: number, operation: Operation): Uint8Array => {
  const head = Buffer.alloc(5)
  head.writeUInt16BE(serverId, 0)
  head.writeUInt16BE(database, 2)
  head.writeUInt8(codes[operation._tag], 4)
  switch (operation._tag) {
    case "Clear":
      return head
    case "Remove":
      return Buffer.concat([head, varnum(operation.key.length), operation.key])
    case "Set": {
      const xt = Buffer.alloc(5)
      xt.writeUIntBE(toXt(operation.expiresAt), 0, 5)
      return Buffer.concat([
        head,
        varnum(operation.key.length),
        varnum(operation.value.length + xt.length),
        operation.key,
        xt,
        operation.value
      ])
    }
  }
}

const parse = (timestamp: bigint, bytes: Uint8Array): Change => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const common = { database: buffer.readUInt16BE(2), serverId: buffer.readUInt16BE(0), timestamp }
  const size = readVarnum(bytes, 5)
  if (size === undefined) return { ...common, _tag: "Clear" }
  if (buffer[4] === codes.Remove) return { ...common, _tag: "Remove", key: bytes.slice(size.end) }
  const start = (readVarnum(bytes, size.end) ?? size).end
  const end = start + size.value
  const xt = buffer.readUIntBE(end, 5)
  return {
    ...common,
    _tag: "Set",
    expiresAt: xt >= xtMax ? undefined : fromXt(-xt, 0),
    key: bytes.slice(start, end),
    value: bytes.slice(end + 5)
  }
}

const keyOf = (timestamp: bigint): Uint8Array => {
  const key = Buffer.alloc(8)
  key.writeBigUInt64BE(clamp(timestamp, 0n, 2n ** 64n - 1n))
  return key
}

const timeOf = (key: Uint8Array): bigint => Buffer.from(key.buffer, key.byteOffset, key.byteLength).readBigUInt64BE(0)

const clamp = (timestamp: bigint, least: bigint, most: bigint): bigint =>
  timestamp < least ? least : timestamp > most ? most : timestamp

/** The last time that a clock tells: it leaves room for changes after it. */
const lastTime = 2n ** 63n

/** The first: nothing was changed at the epoch. */
const firstTime = 1n

/** How many entries are read in one go. */
const page = 256

/** How often somebody who follows looks for more, in milliseconds. */
const interval = 100

/** @internal */
export interface UpdateLog {
  readonly list: Effect.Effect<ReadonlyArray<LogFile>, Failure>
  readonly remove: (until: bigint) => Effect.Effect<void, Failure>
  readonly changes: (since: bigint, follow: boolean) => Stream.Stream<Change, Failure>
}

/** Writes changes after those that are there: times only go forward, also if the clock does not. */
const append = (log: Bytes, messages: ReadonlyArray<Uint8Array>): Effect.Effect<void, StorageError | InvalidKey> =>
  withNow((now) =>
    Effect.flatMap(log.peek({ reverse: true }, 1), ([last]) => {
      const clock = clamp(BigInt(Math.trunc(now)) * 1_000_000n, firstTime, lastTime)
      const next = last === undefined ? clock : timeOf(last.key) + 1n
      const start = next > clock ? next : clock
      return log.setMany(
        messages.map((value, i) => ({ expiresAt: undefined, key: keyOf(start + BigInt(i)), value }))
      )
    })
  )

/** A keyspace whose changes are logged. */
const logged = (database: Database, log: Bytes, serverId: number): Bytes => {
  const { index, keyspace } = database
  const recording = <A>(
    self: Effect.Effect<A, StorageError | InvalidKey>,
    operations: (answer: A) => ReadonlyArray<Operation>
  ): Effect.Effect<A, StorageError | InvalidKey> =>
    together(
      [database],
      Effect.tap(self, (answer) => {
        const done = operations(answer)
        return done.length === 0
          ? Effect.void
          : append(log, done.map((operation) => message(serverId, index, operation)))
      })
    )
  const setting = (key: Uint8Array, value: Storage.Value, expiresAt: number | undefined): Operation => ({
    _tag: "Set",
    expiresAt,
    key,
    value: bytesOf(value)
  })
  const removing = (key: Uint8Array): Operation => ({ _tag: "Remove", key })
  const take: Bytes["take"] = (range, limit) =>
    recording(keyspace.take(range, limit), (entries) => entries.map(({ key }) => removing(key)))
  return {
    ...keyspace,
    clear: (range) =>
      range === undefined
        ? recording(keyspace.clear(), () => [{ _tag: "Clear" }])
        : Effect.map(take(range, Infinity), (entries) => entries.length),
    modify: (key, f) =>
      Effect.map(
        recording(
          keyspace.modify(key, (entry) => {
            const result = f(entry)
            return [result, result[1]]
          }),
          ([, change]) =>
            change._tag === "Put"
              ? [
                setting(key, change.value, change.expiresAt),
                ...change.others?.map(({ expiresAt, key, value }) => setting(key, value, expiresAt)) ?? []
              ]
              : change._tag === "Remove"
              ? [removing(key)]
              : []
        ),
        ([answer]) => answer
      ),
    remove: (key) => recording(keyspace.remove(key), () => [removing(key)]),
    removeMany: (keys) => {
      const all = [...keys]
      return recording(keyspace.removeMany(all), () => all.map(removing))
    },
    set: (key, value, expiresAt) =>
      recording(keyspace.set(key, value, expiresAt), () => [setting(key, value, expiresAt)]),
    setMany: (entries) => {
      const all = [...entries]
      return recording(
        keyspace.setMany(all),
        () => all.map(({ expiresAt, key, value }) => setting(key, value, expiresAt))
      )
    },
    take
  }
}

/**
 * Has the changes of databases logged.
 *
 * @internal
 */
export const withLog = (
  databases: ReadonlyArray<Database>,
  serverId: number
): Effect.Effect<{ readonly databases: ReadonlyArray<Database>; readonly log: UpdateLog }, StorageError | KtError> => {
  const [first] = databases
  if (!(Number.isInteger(serverId) && serverId >= 0 && serverId < 2 ** 16)) {
    return Effect.fail(
      new KtError({
        detail: `the number of a server is a whole one from 0 to 65,535, not ${serverId}`,
        method: "open",
        reason: "InvalidArgument"
      })
    )
  }
  return first === undefined
    ? Effect.succeed({ databases, log: none })
    : Effect.map(first.storage.keyspace(name, { keys: "bytes" }), (log) => ({
      databases: databases.map((database) => {
        const shared = { ...database, shares: [...database.shares, first] }
        return { ...shared, keyspace: logged(shared, log, serverId) }
      }),
      log: { changes: changes(log), list: list(log), remove: remove(log) }
    }))
}

const refused = (method: string) =>
  new KtError({
    detail: "there is no update log; ask for it with `updateLog: { serverId }`",
    method,
    reason: "NotImplemented"
  })

/**
 * Where nothing is logged.
 *
 * @internal
 */
export const none: UpdateLog = {
  changes: () => Stream.fail(refused("changes")),
  list: Effect.suspend(() => Effect.fail(refused("ulogList"))),
  remove: () => Effect.fail(refused("ulogRemove"))
}

const list = (log: Bytes): UpdateLog["list"] =>
  Effect.zipWith(log.stat(), log.peek({ reverse: true }, 1), ({ bytes }, [last]) => [{
    bytes,
    latest: last === undefined ? 0n : timeOf(last.key),
    path: `${name}/0000000001.ulog`
  }])

/** The last change stays: times go on from there. */
const remove = (log: Bytes): UpdateLog["remove"] => (until) =>
  Effect.flatMap(
    log.peek({ reverse: true }, 1),
    ([last]) => last === undefined ? Effect.void : log.clear({ through: keyOf(until), to: last.key })
  )

const changes = (log: Bytes): UpdateLog["changes"] => (since, follow) =>
  Stream.paginateChunkEffect(
    keyOf(since),
    (after) =>
      Effect.flatMap(Effect.flatMap(log.peek({ after }, page), parseAll), (changes) => {
        const last = changes.at(-1)
        const answer = Effect.succeed(
          [
            Chunk.unsafeFromArray(changes),
            changes.length === page || follow
              ? Option.some(last === undefined ? after : keyOf(last.timestamp))
              : Option.none()
          ] as const
        )
        return follow && last === undefined ? Effect.delay(answer, Duration.millis(interval)) : answer
      })
  )

const parseAll = (
  entries: ReadonlyArray<Storage.Entry<Uint8Array>>
): Effect.Effect<Array<Change>, KtError> =>
  Effect.try({
    catch: (cause) =>
      new KtError({
        cause,
        detail: "the update log is damaged; read it from a later time",
        method: "changes",
        reason: "CorruptContainer"
      }),
    try: () => entries.map((entry) => parse(timeOf(entry.key), bytesOf(entry.value)))
  })
