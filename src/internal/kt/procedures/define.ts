/**
 * How a built-in procedure is defined: by the parameters that it knows by name, and what it does with them. Everything
 * else that it is given is data.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { KtError } from "../../../KtError.js"
import type { Call, Failure, Pair } from "../../../KtTransport.js"
import * as Storage from "../../../Storage.js"
import { bytesOf, fromLatin1, latin1, utf8 } from "../bytes.js"
import type { Bytes, Database } from "../databases.js"
import { type ByteMap, readArray, readMap, writeArray, writeMap } from "../formats.js"
import { parseLua } from "../numbers.js"

/** @internal */
export type Pairs = ReadonlyArray<Pair>

/**
 * What procedures know of the engine.
 *
 * @internal
 */
export interface Engine {
  readonly lastError: () => { readonly code: number; readonly message: string }
}

/**
 * The parameters of a call by their names.
 *
 * @internal
 */
export type Given = Readonly<Record<string, Uint8Array>>

/** @internal */
export interface Procedure {
  readonly name: string
  readonly parameters: ReadonlyArray<string>
  readonly run: (
    given: Given,
    data: Pairs,
    database: Database,
    engine: Engine
  ) => Effect.Effect<Pairs, Failure>
}

/** @internal */
export interface Context<O extends string> {
  readonly name: string
  readonly database: Database
  readonly keyspace: Bytes
  readonly data: Pairs
  readonly engine: Engine
  /** An optional parameter. */
  readonly given: (parameter: O) => Uint8Array | undefined
  /** A parameter that is a number; what is none is as if it were not given. */
  readonly number: (parameter: O) => number | undefined
}

/** @internal */
export const define = <R extends string = never, O extends string = never>(
  name: string,
  { optional = [], required = [] }: {
    readonly required?: ReadonlyArray<R>
    readonly optional?: ReadonlyArray<O>
    /** Known only to who gives parameters apart from data. */
    readonly options?: ReadonlyArray<O>
  },
  run: (required: Readonly<Record<R, Uint8Array>>, context: Context<R | O>) => Effect.Effect<Pairs, Failure>
): Procedure => {
  const hasAll = (given: Given): given is Given & Readonly<Record<R, Uint8Array>> =>
    required.every((parameter) => given[parameter] !== undefined)
  return {
    name,
    parameters: [...required, ...optional],
    run: (given, data, database, engine) =>
      hasAll(given)
        ? run(given, {
          data,
          database,
          engine,
          given: (parameter) => given[parameter],
          keyspace: database.keyspace,
          name,
          number: (parameter) => {
            const value = given[parameter]
            return value === undefined ? undefined : parseLua(latin1(value))
          }
        })
        : refuse(name, `it needs ${required.filter((parameter) => given[parameter] === undefined).join(" and ")}`)
  }
}

/**
 * Whether something is written although nothing was removed: the original makes a record where there is none. `strict` does
 * without, as it does without other oddities of the original.
 *
 * @internal
 */
export const creates = ({ given }: Pick<Context<"strict">, "given">, isThere: boolean): boolean =>
  !isThere && given("strict") === undefined

/** @internal */
export const refuse = (name: string, detail: string): Effect.Effect<never, KtError> =>
  Effect.fail(new KtError({ detail, method: name, reason: "InvalidArgument" }))

/**
 * What a call gives to a procedure: parameters by name, and data. Those of the protocol are all in one map.
 *
 * @internal
 */
export const divide = (
  { data = [], parameters }: Call,
  names: ReadonlyArray<string>
): { readonly given: Given; readonly data: Pairs } => {
  const given: Record<string, Uint8Array> = Object.create(null)
  if (parameters !== undefined) {
    for (const name of Object.keys(parameters)) {
      const value = parameters[name]
      if (value !== undefined) given[name] = bytesOf(value)
    }
    return { data, given }
  }
  const rest = data.filter(([name, value]) => {
    const text = latin1(name)
    if (text !== "db" && !names.includes(text)) return true
    given[text] = value
    return false
  })
  return { data: rest, given }
}

// --- Answers ---

const names = { index: utf8("index"), length: utf8("length"), num: utf8("num"), value: utf8("value") }

/** @internal */
export const answer = (name: keyof typeof names, value: number | Uint8Array): Pairs => [
  [names[name], typeof value === "number" ? utf8(String(value)) : value]
]

/** @internal */
export const num = (count: number): Pairs => answer("num", count)

/** @internal */
export const value = (value: Uint8Array | undefined): Pairs => value === undefined ? [] : answer("value", value)

/**
 * Values that were given by their ordinals, until the first that is missing.
 *
 * @internal
 */
export const fromOrdinals = (data: Pairs): ReadonlyArray<Uint8Array> => {
  const byName = new Map(data.map(([name, value]) => [latin1(name), value]))
  const values: Array<Uint8Array> = []
  for (let i = 0;; i++) {
    const value = byName.get(String(i))
    if (value === undefined) return values
    values.push(value)
  }
}

// --- Containers ---

const corrupt = (method: string, key: Uint8Array, what: string) =>
  new KtError({
    detail: `the record is not ${what}, or is damaged; it was left as it is`,
    key,
    method,
    reason: "CorruptContainer"
  })

/** How a container is kept in its record. */
interface Format<C> {
  readonly what: string
  readonly empty: () => C
  readonly read: (bytes: Uint8Array) => C | undefined
  readonly write: (container: C) => Uint8Array
}

/** @internal */
export const maps: Format<ByteMap> = {
  empty: () => new Map(),
  read: readMap,
  what: "a hash or a set",
  write: writeMap
}

/** @internal */
export const arrays: Format<Array<Uint8Array>> = {
  empty: () => [],
  read: readArray,
  what: "a list",
  write: writeArray
}

/**
 * The container, or an empty one.
 *
 * @internal
 */
export const load = <C>(
  { empty, read, what }: Format<C>,
  { keyspace, name }: { readonly keyspace: Bytes; readonly name: string },
  key: Uint8Array
): Effect.Effect<C, Failure> =>
  Effect.flatMap(keyspace.get(key), (entry) => {
    if (Option.isNone(entry)) return Effect.succeed(empty())
    const container = read(bytesOf(entry.value.value))
    return container === undefined ? Effect.fail(corrupt(name, key, what)) : Effect.succeed(container)
  })

/**
 * Changes a container, and keeps its expiry. `f` tells its answer, and whether it is to be written.
 *
 * @internal
 */
export const edit = <C, A>(
  { empty, read, what, write }: Format<C>,
  { keyspace, name }: { readonly keyspace: Bytes; readonly name: string },
  key: Uint8Array,
  f: (container: C, isThere: boolean) => readonly [A, write: boolean]
): Effect.Effect<A, Failure> =>
  Effect.flatten(keyspace.modify(key, (entry): readonly [Either.Either<A, KtError>, Storage.Change] => {
    const current = Option.getOrUndefined(entry)
    const container = current === undefined ? empty() : read(bytesOf(current.value))
    if (container === undefined) return [Either.left(corrupt(name, key, what)), Storage.keep]
    const [answer, changed] = f(container, current !== undefined)
    return [
      Either.right(answer),
      changed ? Storage.put(write(container), current?.expiresAt) : Storage.keep
    ]
  }))

/**
 * Writes a container in place of what is there. It does not expire.
 *
 * @internal
 */
export const save = <C>(
  { write }: Format<C>,
  { keyspace }: { readonly keyspace: Bytes },
  key: Uint8Array,
  container: C
): Effect.Effect<void, Failure> => keyspace.set(key, write(container))

/** @internal */
export const mapOf = (data: Pairs): ByteMap => new Map(data.map(([name, value]) => [latin1(name), value]))

/** @internal */
export const pairsOf = (map: ReadonlyMap<string, Uint8Array>): Pairs =>
  Array.from(map, ([name, value]) => [fromLatin1(name), value])

/**
 * The keys that a procedure is to be given by a range: from `start`, before `stop`, and at most `count`; the key itself is
 * left out if it says `strict`.
 *
 * @internal
 */
export const packed = (
  { given, keyspace, number }: Pick<Context<"start" | "stop" | "count" | "strict">, "given" | "keyspace" | "number">,
  own: Uint8Array
): Effect.Effect<ReadonlyArray<Storage.Entry<Uint8Array>>, Failure> => {
  const count = number("count")
  const limit = count === undefined || count < 0 ? Infinity : count
  const without = given("strict") === undefined ? undefined : latin1(own)
  return Effect.map(
    keyspace.peek({ from: given("start"), to: given("stop") }, limit + 1),
    (entries) => entries.filter(({ key }) => latin1(key) !== without).slice(0, limit)
  )
}

/**
 * All records of a range, read page by page, so that others have their turn.
 *
 * @internal
 */
export const all = (
  keyspace: Bytes,
  range: Storage.Range<Uint8Array>
): Effect.Effect<ReadonlyArray<Storage.Entry<Uint8Array>>, Failure> =>
  Effect.map(Stream.runCollect(keyspace.entries(range)), Chunk.toReadonlyArray)
