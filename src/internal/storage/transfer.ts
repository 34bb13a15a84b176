/**
 * Moving entries out of a `Storage` and into one. All of it goes through the waist, a page or a batch at a time: it is
 * the same on every engine, and memory does not grow with what is moved.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type {
  Change,
  Entry,
  ExportOptions,
  Imported,
  ImportOptions,
  Keyspace,
  KeyspaceInfo,
  Storage
} from "../../Storage.js"
import { ImportError, type InvalidKey, StorageError } from "../../StorageError.js"
import { withNow } from "./compat.js"
import { bytesKeys, type KeyKind, textKeys } from "./keys.js"
import { entryIssue, entrySize } from "./keyspace.js"
import {
  type Decode,
  decodeBytesEntry,
  decodeEnd,
  decodeHeader,
  decodeKeyspace,
  decodeTextEntry,
  type EntryLine,
  header,
  Lines,
  toJson,
  toLine
} from "./ndjson.js"

type Service = Storage["Type"]

const exportError = (
  error: Pick<StorageError, "cause" | "detail" | "key" | "keyspace" | "reason">
): Effect.Effect<never, StorageError> => Effect.fail(new StorageError({ ...error, method: "exportEntries" }))

const toLines = (
  keyspace: string,
  page: Chunk.Chunk<Entry<string | Uint8Array>>
): Effect.Effect<Chunk.Chunk<string>, StorageError> => {
  const lines: Array<string> = []
  for (const { expiresAt, key, value } of page) {
    try {
      lines.push(toLine({ key: toJson(key), value: toJson(value), expiresAt }))
    } catch (cause) {
      const detail = "the entry is too large for one text; leave its keyspace out, and copy that by itself"
      return exportError({ cause, detail, key, keyspace, reason: "InvalidValue" })
    }
  }
  return Effect.succeed(Chunk.unsafeFromArray(lines))
}

/** The keyspaces there are, or those of them that are asked for. */
const chosen = (
  storage: Service,
  names: ReadonlyArray<string> | undefined
): Effect.Effect<ReadonlyArray<KeyspaceInfo>, StorageError> =>
  Effect.flatMap(storage.maintenance.keyspaces, (all) => {
    if (names === undefined) return Effect.succeed(all)
    const missing = new Set(names)
    const found = all.filter(({ name }) => missing.delete(name))
    const [keyspace] = missing
    return keyspace === undefined ? Effect.succeed(found) : exportError({
      detail: "there is no keyspace of this name; maintenance.keyspaces tells which there are",
      keyspace,
      reason: "Unavailable"
    })
  })

/** @internal */
export const exportEntries = (storage: Service, options: ExportOptions = {}): Stream.Stream<string, StorageError> =>
  Stream.unwrap(Effect.map(chosen(storage, options.keyspaces), (keyspaces) => {
    let entries = 0
    const entriesOf = (keyspace: Keyspace | Keyspace<Uint8Array>): Stream.Stream<string, StorageError> => {
      const all: Stream.Stream<Entry<string | Uint8Array>, StorageError | InvalidKey> = keyspace.entries()
      // Without bounds there is no key that could be invalid.
      return Stream.mapChunksEffect(Stream.catchTag(all, "InvalidKey", Stream.die), (page) => {
        entries += page.length
        return toLines(keyspace.name, page)
      })
    }
    const linesOf = ({ keys, name }: KeyspaceInfo): Stream.Stream<string, StorageError> =>
      Stream.concat(
        Stream.succeed(toLine({ keyspace: name, keys })),
        Stream.unwrap(
          keys === "bytes"
            ? Effect.map(storage.keyspace(name, { keys }), entriesOf)
            : Effect.map(storage.keyspace(name, { keys }), entriesOf)
        )
      )
    return Stream.succeed(toLine(header)).pipe(
      Stream.concat(Stream.flatMap(Stream.fromIterable(keyspaces), linesOf)),
      Stream.concat(Stream.sync(() => toLine({ entries })))
    )
  }))

/** What is written at once, at most: so many entries, and about so many bytes. */
const batchEntries = 1000
const batchBytes = 1 << 20

/** How many fibers insert what may be there: writes of one turn share a commit. */
const inserting = 16

type Counts = { -readonly [K in keyof Imported]: Imported[K] }

/** The keyspace that entries go to, with those that are not written yet. */
interface Target {
  /** Takes the entry of a line, or tells why it cannot. */
  readonly add: (json: unknown) => string | undefined
  readonly isFull: () => boolean
  readonly write: Effect.Effect<void, StorageError>
}

const makeTarget = <K extends string | Uint8Array>(
  keyspace: Keyspace<K>,
  kind: KeyKind<K>,
  decode: Decode<EntryLine<K>>,
  existing: ImportOptions["existing"],
  counts: Counts
): Target => {
  let batch: Array<Entry<K>> = []
  let bytes = 0
  const replace = (entries: ReadonlyArray<Entry<K>>) =>
    Effect.map(keyspace.setMany(entries), () => {
      counts.imported += entries.length
    })
  const insert = ({ expiresAt, key, value }: Entry<K>) =>
    Effect.map(
      keyspace.modify(key, (found): readonly [isNew: boolean, Change] =>
        Option.isSome(found) ? [false, { _tag: "Keep" }] : [true, { _tag: "Put", expiresAt, value }]),
      (isNew) => {
        counts[isNew ? "imported" : "kept"]++
      }
    )
  return {
    add: (json) => {
      const decoded = decode(json)
      if (Either.isLeft(decoded)) return decoded.left
      const { expiresAt, key, value } = decoded.right
      const keyIssue = kind.issue(key)
      if (keyIssue !== undefined) return `"key" cannot be a key: ${keyIssue}`
      const issue = entryIssue(value, expiresAt)
      if (issue !== undefined) return `"value" cannot be a value: ${issue}`
      const entry = { expiresAt, key, value }
      batch.push(entry)
      bytes += entrySize(entry)
      return undefined
    },
    isFull: () => batch.length >= batchEntries || bytes >= batchBytes,
    write: withNow((now) => {
      const live = batch.filter(({ expiresAt }) => expiresAt === undefined || expiresAt > now)
      counts.expired += batch.length - live.length
      batch = []
      bytes = 0
      return Effect.catchTag(
        existing === "keep" ? Effect.forEach(live, insert, { concurrency: inserting, discard: true }) : replace(live),
        "InvalidKey",
        // Keys were looked at when their lines were read.
        Effect.die
      )
    })
  }
}

const has = (json: unknown, member: string): boolean =>
  typeof json === "object" && json !== null && Object.hasOwn(json, member)

/** Imports line by line, in their order. */
const makeImporter = (storage: Service, existing: ImportOptions["existing"]) => {
  const counts: Counts = { expired: 0, imported: 0, kept: 0 }
  let stage: "header" | "entries" | "over" = "header"
  let line = 0
  let entries = 0
  let target: Target | undefined

  const write = Effect.suspend(() => target === undefined ? Effect.void : target.write)

  /** What comes before a bad line is imported. */
  const refuse = (issue: string, cause?: unknown): Effect.Effect<never, ImportError | StorageError> =>
    Effect.flatMap(write, () => Effect.fail(new ImportError({ ...counts, cause, issue, line })))

  const enter = ({ keys, name }: KeyspaceInfo): Effect.Effect<void, ImportError | StorageError> =>
    Effect.matchEffect(
      keys === "bytes"
        ? Effect.map(storage.keyspace(name, { keys }), (keyspace) =>
          makeTarget(keyspace, bytesKeys, decodeBytesEntry, existing, counts))
        : Effect.map(storage.keyspace(name, { keys }), (keyspace) =>
          makeTarget(keyspace, textKeys, decodeTextEntry, existing, counts)),
      {
        onFailure: (error) =>
          error.reason === "Incompatible"
            ? refuse(`the keyspace is there already: ${error.detail}`, error)
            : Effect.fail(error),
        onSuccess: (next) =>
          Effect.map(write, () => {
            target = next
          })
      }
    )

  const takeJson = (json: unknown): Effect.Effect<void, ImportError | StorageError> => {
    if (stage === "over") return refuse("it comes after what is to be the last line")
    if (stage === "header") {
      const decoded = decodeHeader(json)
      if (Either.isLeft(decoded)) return refuse(`the first line is not ${JSON.stringify(header)}: ${decoded.left}`)
      stage = "entries"
      return Effect.void
    }
    if (has(json, "keyspace")) {
      const decoded = decodeKeyspace(json)
      return Either.isLeft(decoded)
        ? refuse(decoded.left)
        : enter({ keys: decoded.right.keys, name: decoded.right.keyspace })
    }
    if (has(json, "entries")) {
      const decoded = decodeEnd(json)
      if (Either.isLeft(decoded)) return refuse(decoded.left)
      const { entries: promised } = decoded.right
      if (promised !== entries) return refuse(`it promises ${promised} entries, and there were ${entries}`)
      stage = "over"
      return write
    }
    if (target === undefined) return refuse("no line before it names a keyspace")
    const issue = target.add(json)
    if (issue !== undefined) return refuse(issue)
    entries++
    return target.isFull() ? target.write : Effect.void
  }

  const take = (
    read: Either.Either<string, string>,
    isLast: boolean
  ): Effect.Effect<void, ImportError | StorageError> => {
    line++
    if (Either.isLeft(read)) return refuse(read.left)
    // Also of a byte order mark, and of what is left of a Windows line end.
    const text = read.right.trim()
    if (text === "") return Effect.void
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch (cause) {
      return refuse(`it is not JSON${isLast ? ", and nothing follows: it may have been cut off" : ""} (${cause})`)
    }
    return takeJson(json)
  }

  const end = Effect.suspend(() => {
    if (stage === "over") return Effect.succeed<Imported>(counts)
    line++
    return refuse("the last line, {\"entries\":...}, is missing; others may be, too")
  })
  return { end, take }
}

/** @internal */
export const importEntries = <E, R>(
  storage: Service,
  input: Stream.Stream<string | Uint8Array, E, R>,
  { existing }: ImportOptions = {}
): Effect.Effect<Imported, E | ImportError | StorageError, R> =>
  Effect.suspend(() => {
    const lines = new Lines()
    const importer = makeImporter(storage, existing)
    return Stream.runForEach(input, (piece) =>
      Effect.gen(function*() {
        for (const line of lines.of(piece)) yield* importer.take(line, false)
      })).pipe(
        Effect.zipRight(Effect.suspend(() => Effect.forEach(lines.end(), (line) => importer.take(line, true)))),
        Effect.zipRight(importer.end)
      )
  })
