/**
 * The one implementation of `KeyValueStore`: keys and values are translated here, everything else is the waist's.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Codec from "../Codec.js"
import type { Failure, KeyValueStore, Options, Plain, Range, Renamed } from "../KeyValueStore.js"
import * as Storage from "../Storage.js"
import { CounterError, InvalidKey, KeyNotFound, type StorageError } from "../StorageError.js"
import { andThen, isDone } from "./exit.js"
import { fromParser } from "./parser.js"

/** How the keys of a store are written and read. */
interface KeyCodec<K> {
  readonly encode: (key: K) => Effect.Effect<string, InvalidKey>
  /** `stored` is the whole key, of which a view leaves out the beginning. */
  readonly decode: (key: string, stored: string) => Effect.Effect<K, Codec.CodecError>
  /** The same for keys that are written as they are. */
  readonly asIs?: (key: string) => K
}

/** All that the methods of a store stand on. */
interface View<K, A> {
  readonly storage: Storage.Storage["Type"]
  readonly keyspace: Storage.Keyspace
  readonly codec: Codec.Codec<A>
  readonly keys: KeyCodec<K>
  /** What the stored keys of this view begin with and its own keys lack. */
  readonly prefix: string
  readonly missOnFailure: boolean
}

/** What an update does to the value it was shown. */
type Edit<A> =
  | { readonly _tag: "Keep" }
  | { readonly _tag: "Remove" }
  | { readonly _tag: "Put"; readonly value: A; readonly expiresAt: number | undefined }

const keep: Edit<never> = { _tag: "Keep" }
const remove: Edit<never> = { _tag: "Remove" }
const put = <A>(value: A, expiresAt?: number): Edit<A> => ({ _tag: "Put", expiresAt, value })

/** Stands for a stored value that no longer fits, in a store that takes that for a miss. */
const missed = Symbol("effect-kv/missed")

/** The same for many, without an effect for each that is done. What is missed is left out. */
const forEach = <A, B, E>(
  items: Iterable<A>,
  f: (item: A) => Effect.Effect<B | typeof missed, E>
): Effect.Effect<Array<B>, E> => {
  const out: Array<B> = []
  const add = (value: B | typeof missed) => {
    if (value !== missed) out.push(value)
  }
  const rest: Array<Effect.Effect<B | typeof missed, E>> = []
  for (const item of items) {
    const result = f(item)
    if (rest.length > 0 || !isDone(result)) rest.push(result)
    else if (Exit.isSuccess(result)) add(result.value)
    else return Exit.failCause(result.cause)
  }
  if (rest.length === 0) return Exit.succeed(out)
  return Effect.map(Effect.all(rest), (more) => {
    more.forEach(add)
    return out
  })
}

/** Gives an effect what was taken when the store was built. What is done already needs nothing any more. */
const providing = <R>(context: Context.Context<R>) => <B, E>(self: Effect.Effect<B, E, R>): Effect.Effect<B, E> =>
  isDone(self) ? self : Effect.mapInputContext(self, (own: Context.Context<never>) => Context.merge(own, context))

/** Gives a codec what its schema needs, once. */
const provided = <A, R>(codec: Codec.Codec<A, R>, context: Context.Context<R>): Codec.Codec<A> => {
  const provide = providing(context)
  return Codec.make({
    bindsToKey: codec.bindsToKey,
    decode: (stored, at) => provide(codec.decode(stored, at)),
    encode: (value, at) => provide(codec.encode(value, at)),
    equivalence: codec.equivalence
  })
}

const schemaKeys = <K, I extends string, R>(
  schema: Schema.Schema<K, I, R>,
  keyspace: string,
  context: Context.Context<R>
): KeyCodec<K> => {
  const encode = ParseResult.encode(schema)
  const decode = ParseResult.decodeUnknown(schema)
  const provide = providing(context)
  const message = ParseResult.TreeFormatter.formatIssueSync
  return {
    decode: (key, stored) =>
      provide(fromParser(
        decode(key),
        (issue) =>
          new Codec.CodecError({
            detail: `its key does not fit: ${message(issue)}`,
            issue,
            key: stored,
            keyspace,
            operation: "decode"
          }),
        Exit.succeed
      )),
    encode: (key) =>
      provide(
        fromParser(encode(key), (issue) => new InvalidKey({ issue: message(issue), key, keyspace }), Exit.succeed)
      )
  }
}

/** Without a schema keys are strings: the type parameter `K` defaults to that, which is all the cast says. */
const textKeys = <K = string>(keyspace: string): KeyCodec<K> => ({
  asIs: (key) => key as K,
  decode: (key) => Exit.succeed(key as K),
  encode: (key) =>
    typeof key === "string"
      ? Exit.succeed(key)
      : Exit.fail(new InvalidKey({ issue: "it is not a string, and the store has no schema for keys", key, keyspace }))
})

const minInt64 = -(2n ** 63n)
const maxInt64 = 2n ** 63n - 1n

const sum = (a: number | bigint, b: number | bigint): number | bigint | CounterError["reason"] => {
  if (typeof a === "bigint" && typeof b === "bigint") {
    const total = a + b
    return total < minInt64 || total > maxInt64 ? "Overflow" : total
  }
  if (typeof a === "bigint" || typeof b === "bigint") return "Mixed"
  const total = a + b
  if (!Number.isFinite(total)) return "NotFinite"
  return Number.isSafeInteger(a) && Number.isSafeInteger(b) && !Number.isSafeInteger(total) ? "Overflow" : total
}

const concat = (a: Storage.Value, b: Storage.Value): Storage.Value =>
  typeof a === "string" && typeof b === "string" ? a + b : Buffer.concat([Buffer.from(a), Buffer.from(b)])

const sameEntry = (a: Option.Option<Storage.Entry>, b: Option.Option<Storage.Entry>): boolean =>
  Option.isSome(a) && Option.isSome(b)
    ? a.value.expiresAt === b.value.expiresAt && Codec.raw.equivalence(a.value.value, b.value.value)
    : Option.isNone(a) && Option.isNone(b)

/** How often an update with an asynchronous codec may lose a race before it takes a transaction. */
const maxRaces = 5

const makeView = <K, A>(view: View<K, A>): KeyValueStore<K, A> => {
  const { codec, keys, keyspace, missOnFailure, prefix, storage } = view
  const { name } = keyspace

  // A schema or codec that throws is one that fails.
  const thrown = (operation: "encode" | "decode", key: string, cause: unknown) =>
    new Codec.CodecError({ cause, detail: `the codec threw ${String(cause)}`, key, keyspace: name, operation })
  const safely = <B>(
    operation: "encode" | "decode",
    key: string,
    self: Effect.Effect<B, Codec.CodecError>
  ): Effect.Effect<B, Codec.CodecError> =>
    isDone(self) ? self : Effect.catchAllDefect(self, (cause) => Effect.fail(thrown(operation, key, cause)))
  const badKey = (key: K, cause: unknown) =>
    Effect.fail(new InvalidKey({ issue: `the schema for keys threw ${String(cause)}`, key, keyspace: name }))

  const encodeKey = (key: K): Effect.Effect<string, InvalidKey> => {
    try {
      const self = keys.encode(key)
      return isDone(self) ? self : Effect.catchAllDefect(self, (cause) => badKey(key, cause))
    } catch (cause) {
      return badKey(key, cause)
    }
  }
  const withKey = <B, E>(key: K, f: (key: string) => Effect.Effect<B, E>): Effect.Effect<B, E | InvalidKey> => {
    if (keys.asIs !== undefined && typeof key === "string") return f(prefix + key)
    const encoded = encodeKey(key)
    return isDone(encoded) && Exit.isSuccess(encoded)
      ? f(prefix + encoded.value)
      : Effect.flatMap(encoded, (key) => f(prefix + key))
  }
  const storedKeys = (keys: Iterable<K>): Effect.Effect<Array<string>, InvalidKey> =>
    forEach(keys, (key) => withKey(key, Exit.succeed))
  const encode = (key: string, value: A): Effect.Effect<Storage.Value, Codec.CodecError> => {
    try {
      return safely("encode", key, codec.encode(value, { key, keyspace: name }))
    } catch (cause) {
      return Exit.fail(thrown("encode", key, cause))
    }
  }
  const orMiss = <B>(self: Effect.Effect<B, Codec.CodecError>): Effect.Effect<B | typeof missed, Codec.CodecError> =>
    !missOnFailure
      ? self
      : !isDone(self)
      ? Effect.catchAll(self, () => Effect.succeed(missed))
      : Exit.isFailure(self) && Cause.isFailType(self.cause)
      ? Exit.succeed(missed)
      : self
  const decode = ({ key, value }: Storage.Entry): Effect.Effect<A | typeof missed, Codec.CodecError> => {
    try {
      return orMiss(safely("decode", key, codec.decode(value, { key, keyspace: name })))
    } catch (cause) {
      return orMiss(Exit.fail(thrown("decode", key, cause)))
    }
  }
  const toOption = (value: A | typeof missed): Option.Option<A> => value === missed ? Option.none() : Option.some(value)
  const decodeOption = (entry: Option.Option<Storage.Entry>): Effect.Effect<Option.Option<A>, Codec.CodecError> => {
    if (Option.isNone(entry)) return Exit.succeed(Option.none())
    const value = decode(entry.value)
    return isDone(value) && Exit.isSuccess(value) ? Exit.succeed(toOption(value.value)) : Effect.map(value, toOption)
  }
  const withoutPrefix = (key: string): string => prefix === "" ? key : key.slice(prefix.length)
  const decodeKey = (key: string): Effect.Effect<K | typeof missed, Codec.CodecError> => {
    try {
      return orMiss(safely("decode", key, keys.decode(withoutPrefix(key), key)))
    } catch (cause) {
      return orMiss(Exit.fail(thrown("decode", key, cause)))
    }
  }
  const pair = (key: K | typeof missed, value: A | typeof missed): readonly [K, A] | typeof missed =>
    key === missed || value === missed ? missed : [key, value]
  const decodeEntry = (entry: Storage.Entry): Effect.Effect<readonly [K, A] | typeof missed, Codec.CodecError> => {
    const value = decode(entry)
    // Keys without a schema cost a scan nothing.
    if (keys.asIs !== undefined && isDone(value) && Exit.isSuccess(value)) {
      return Exit.succeed(pair(keys.asIs(withoutPrefix(entry.key)), value.value))
    }
    return Effect.zipWith(decodeKey(entry.key), value, pair)
  }

  const encodeEdit = (key: string, edit: Edit<A>): Effect.Effect<Storage.Change, Codec.CodecError> =>
    edit._tag === "Put"
      ? andThen(encode(key, edit.value), (value) => Exit.succeed(Storage.put(value, edit.expiresAt)))
      : Exit.succeed(edit)

  /** What an update comes to: decode, `f`, encode. */
  const apply = <B>(
    key: string,
    entry: Option.Option<Storage.Entry>,
    f: (value: Option.Option<A>, expiresAt: number | undefined) => readonly [B, Edit<A>]
  ): Effect.Effect<readonly [B, Storage.Change], Codec.CodecError> =>
    andThen(decodeOption(entry), (value) => {
      const [answer, edit] = f(value, Option.isSome(entry) ? entry.value.expiresAt : undefined)
      return andThen(encodeEdit(key, edit), (change) => Exit.succeed([answer, change] as const))
    })

  /**
   * The atomic update that most others are. With a synchronous codec all of it happens inside the waist's `modify`. An
   * asynchronous one cannot run there: what it made of an entry is written if the entry is still the same.
   */
  const edit = <B>(
    key: string,
    f: (value: Option.Option<A>, expiresAt: number | undefined) => readonly [B, Edit<A>]
  ): Effect.Effect<B, Failure> => {
    const slow = Effect.flatMap(
      keyspace.get(key),
      (entry) => apply(key, entry, f).pipe(Effect.map((applied) => ({ applied, entry })))
    )
    const race = (left: number): Effect.Effect<B, Failure> =>
      left === 0
        ? storage.transaction(Effect.flatMap(slow, ({ applied: [answer, change] }) =>
          Effect.as(keyspace.modify(key, () => [undefined, change]), answer)))
        : Effect.flatMap(slow, ({ applied: [answer, change], entry }) =>
          Effect.flatMap(
            keyspace.modify(key, (now) =>
              sameEntry(entry, now) ? [true, change] : [false, Storage.keep]),
            (won) => won ? Effect.succeed(answer) : race(left - 1)
          ))
    return Effect.flatMap(
      keyspace.modify(key, (entry): readonly [Effect.Effect<B, Failure>, Storage.Change] => {
        const applied = apply(key, entry, f)
        if (!isDone(applied)) return [race(maxRaces), Storage.keep]
        return Exit.isSuccess(applied)
          ? [Exit.succeed(applied.value[0]), applied.value[1]]
          : [Exit.failCause(applied.cause), Storage.keep]
      }),
      (answer) => answer
    )
  }

  /** Writes if there is a value, or if there is none. What is there is decoded only to see whether it is a miss. */
  const write = (key: K, value: A, when: (found: boolean) => boolean): Effect.Effect<boolean, Failure> =>
    withKey(key, (key) =>
      missOnFailure
        ? edit(key, (current) => when(Option.isSome(current)) ? [true, put(value)] : [false, keep])
        : andThen(encode(key, value), (stored) =>
          keyspace.modify(key, (entry) =>
            when(Option.isSome(entry)) ? [true, Storage.put(stored)] : [false, Storage.keep])))

  const withRange = (range: Range<K> | undefined): Effect.Effect<Storage.Range, InvalidKey> => {
    const bound = (key: K | undefined): Effect.Effect<string | undefined, InvalidKey> =>
      key === undefined ? Exit.succeed(undefined) : withKey(key, Exit.succeed)
    return Effect.map(
      forEach([range?.from, range?.to, range?.through, range?.after], bound),
      ([from, to, through, after]) => ({
        after,
        from,
        limit: range?.limit,
        prefix: prefix + (range?.prefix ?? ""),
        reverse: range?.reverse,
        through,
        to
      })
    )
  }
  const ranged = <B>(
    range: Range<K> | undefined,
    read: (range: Storage.Range) => Stream.Stream<B, StorageError | InvalidKey>
  ) => Stream.unwrap(Effect.map(withRange(range), read))

  /** Translates page by page, and leaves out what is missed. */
  const translated = <B, C>(
    stream: Stream.Stream<B, StorageError | InvalidKey>,
    translate: (item: B) => Effect.Effect<C | typeof missed, Codec.CodecError>
  ): Stream.Stream<C, Failure> =>
    Stream.mapChunksEffect(
      stream,
      (chunk) =>
        andThen(forEach(Chunk.toReadonlyArray(chunk), translate), (items) => Exit.succeed(Chunk.unsafeFromArray(items)))
    )

  const getStored = (key: string) => Effect.flatMap(keyspace.get(key), decodeOption)
  const setStored = (key: string, value: A) => andThen(encode(key, value), (stored) => keyspace.set(key, stored))

  function subView(more: string): KeyValueStore<string, A>
  function subView<Rest, I extends string>(
    more: string,
    options: { readonly key: Schema.Schema<Rest, I> }
  ): KeyValueStore<Rest, A>
  function subView<Rest, I extends string>(more: string, options?: { readonly key: Schema.Schema<Rest, I> }) {
    return options === undefined
      ? makeView({ ...view, keys: textKeys(name), prefix: prefix + more })
      : makeView({ ...view, keys: schemaKeys(options.key, name, Context.empty()), prefix: prefix + more })
  }

  const store: KeyValueStore<K, A> = {
    get: (key) => withKey(key, getStored),
    getOrFail: (key) =>
      withKey(
        key,
        (key) =>
          Effect.flatMap(getStored(key), (value): Effect.Effect<A, KeyNotFound> =>
            Option.isSome(value) ? Effect.succeed(value.value) : Effect.fail(new KeyNotFound({ key, keyspace: name })))
      ),
    getMany: (keys) =>
      andThen(
        storedKeys(keys),
        (keys) => Effect.flatMap(keyspace.getMany(keys), (entries) => forEach(entries, decodeOption))
      ),
    getManyMap: (keys) => {
      const asked = Array.from(keys)
      return Effect.map(store.getMany(asked), (values) => {
        const found = new Map<K, A>()
        asked.forEach((key, i) => {
          const value = values[i]
          if (value !== undefined && Option.isSome(value)) found.set(key, value.value)
        })
        return found
      })
    },
    has: (key) =>
      withKey(key, (key) => Effect.map(keyspace.stat({ from: key, through: key }), ({ entries }) => entries > 0)),
    set: (key, value) => withKey(key, (key) => setStored(key, value)),
    setMany: (entries) =>
      andThen(
        forEach(entries, ([key, value]) =>
          withKey(key, (key) =>
            andThen(encode(key, value), (value) =>
              Exit.succeed<Storage.Entry>({ expiresAt: undefined, key, value })))),
        keyspace.setMany
      ),
    insert: (key, value) => write(key, value, (found) => !found),
    replace: (key, value) => write(key, value, (found) => found),
    getOrInsert: (key, value) =>
      withKey(key, (key) =>
        edit(key, (current) => {
          if (Option.isSome(current)) return [current.value, keep]
          const inserted = value()
          return [inserted, put(inserted)]
        })),
    update: (key, f) =>
      withKey(key, (key) =>
        edit(key, (current, expiresAt) => {
          if (Option.isNone(current)) return [current, keep]
          const next = f(current.value)
          return [Option.some(next), put(next, expiresAt)]
        })),
    modify: (key, f) =>
      withKey(key, (key) =>
        edit(key, (current, expiresAt) => {
          const [answer, next] = f(current)
          return [answer, Option.isSome(next) ? put(next.value, expiresAt) : Option.isSome(current) ? remove : keep]
        })),
    compareAndSet: (key, expected, next) => {
      const same = Option.getEquivalence(codec.equivalence)
      return withKey(key, (key) =>
        edit(key, (current, expiresAt) =>
          same(current, expected)
            ? [true, Option.isSome(next) ? put(next.value, expiresAt) : remove]
            : [false, keep]))
    },
    swap: (key, value) => withKey(key, (key) => edit(key, (current) => [current, put(value)])),
    take: (key) => withKey(key, (key) => edit(key, (current) => [current, remove])),
    remove: (key) => withKey(key, keyspace.remove),
    removeMany: (keys) => andThen(storedKeys(keys), keyspace.removeMany),
    rename: (from, to, options) =>
      withKey(from, (from) => withKey(to, (to) => rename(storage, keyspace, from, to, options?.overwrite === true))),
    increment<N extends number | bigint>(this: KeyValueStore<K, N>, key: K, by: N) {
      return withKey(
        key,
        (stored) =>
          Effect.flatten(this.modify(key, (current): readonly [Exit.Exit<N, CounterError>, Option.Option<N>] => {
            const now = Option.getOrElse(current, () => typeof by === "bigint" ? 0n : 0)
            const total = sum(now, by)
            return typeof total === "string"
              ? [Exit.fail(new CounterError({ by, current: now, key: stored, keyspace: name, reason: total })), current]
              // The sum of two of a kind is of that kind, which the compiler does not know.
              : [Exit.succeed(total as N), Option.some(total as N)]
          }))
      )
    },
    append<V extends Storage.Value>(this: KeyValueStore<K, V>, key: K, value: V) {
      return this.modify(key, (current) => [
        undefined,
        // As above: text and text is text, bytes and bytes are bytes.
        Option.some(Option.isSome(current) ? concat(current.value, value) as V : value)
      ])
    },
    keys: (range) => translated(ranged(range, keyspace.keys), decodeKey),
    values: (range) => translated(ranged(range, keyspace.entries), decode),
    entries: (range) => translated(ranged(range, keyspace.entries), decodeEntry),
    toMap: (range) => Stream.runFold(store.entries(range), new Map<K, A>(), (map, [key, value]) => map.set(key, value)),
    size: (range) => Effect.map(Effect.flatMap(withRange(range), keyspace.stat), ({ entries }) => entries),
    isEmpty: Effect.map(Stream.runHead(keyspace.keys({ limit: 1, prefix })), Option.isNone),
    clear: (range) => Effect.flatMap(withRange(range), keyspace.clear),
    prefix: subView,
    transaction: storage.transaction
  }
  return store
}

/** Moves what is stored as it is, with its expiry. */
const rename = (
  storage: Storage.Storage["Type"],
  keyspace: Storage.Keyspace,
  from: string,
  to: string,
  overwrite: boolean
): Effect.Effect<Renamed, StorageError | InvalidKey> =>
  storage.transaction(Effect.flatMap(keyspace.get(from), (source) => {
    if (Option.isNone(source)) return Effect.succeed("SourceMissing")
    if (from === to) return Effect.succeed("Renamed")
    const { expiresAt, value } = source.value
    return Effect.flatMap(
      keyspace.modify(
        to,
        (target) => Option.isSome(target) && !overwrite ? [false, Storage.keep] : [true, Storage.put(value, expiresAt)]
      ),
      (moved): Effect.Effect<Renamed, StorageError | InvalidKey> =>
        moved ? Effect.as(keyspace.remove(from), "Renamed") : Effect.succeed("TargetExists")
    )
  }))

/** @internal */
export const make = <A, I, R, K, IK extends string, KR>(
  options: Options<A, I, R, K, IK, KR>
): Effect.Effect<KeyValueStore<K, A>, StorageError, Storage.Storage | R | KR> =>
  Effect.gen(function*() {
    const storage = yield* Storage.Storage
    const context = yield* Effect.context<R | KR>()
    const codec = Codec.TypeId in options.value ? options.value : Codec.json(options.value)
    return makeView({
      codec: provided(codec, context),
      keys: options.key === undefined
        ? textKeys(options.keyspace)
        : schemaKeys(options.key, options.keyspace, context),
      keyspace: yield* storage.keyspace(options.keyspace),
      missOnFailure: options.onDecodeFailure === "miss",
      prefix: "",
      storage
    })
  })

/** @internal */
export const makePlain = (keyspace: string): Effect.Effect<Plain, StorageError, Storage.Storage> =>
  Effect.gen(function*() {
    const storage = yield* Storage.Storage
    const view = {
      keys: textKeys(keyspace),
      keyspace: yield* storage.keyspace(keyspace),
      missOnFailure: false,
      storage
    }
    const plain = (prefix: string): Plain => {
      const store = makeView({ ...view, codec: Codec.raw, prefix })
      function subView(more: string): Plain
      function subView<Rest, I extends string>(
        more: string,
        options: { readonly key: Schema.Schema<Rest, I> }
      ): KeyValueStore<Rest, Storage.Value>
      function subView<Rest, I extends string>(more: string, options?: { readonly key: Schema.Schema<Rest, I> }) {
        return options === undefined ? plain(prefix + more) : store.prefix(more, options)
      }
      return {
        ...store,
        forSchema: (schema) => makeView({ ...view, codec: Codec.json(schema), prefix }),
        prefix: subView
      }
    }
    return plain("")
  })
