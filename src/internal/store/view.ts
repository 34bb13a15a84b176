/**
 * A store before it has methods: its keys and values are translated here, to those of the waist and back.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Codec from "../../Codec.js"
import type { Failure, Options, Range, Renamed } from "../../KeyValueStore.js"
import * as Storage from "../../Storage.js"
import { InvalidKey, StorageError } from "../../StorageError.js"
import type { Expiry } from "../../TtlStore.js"
import { andThen, forEach, isDone, missed } from "../done.js"
import { withNow } from "../storage/compat.js"
import { lastingContext } from "../storage/transactions.js"
import { provided, safely } from "./codecs.js"
import { never, parseExpiry, type Rule } from "./expiry.js"
import { type KeyCodec, schemaKeys, textKeys } from "./keys.js"

/**
 * What a store is made of.
 *
 * @internal
 */
export interface Parts<K, A> {
  readonly storage: Storage.Storage["Type"]
  readonly keyspace: Storage.Keyspace
  readonly codec: Codec.Codec<A>
  readonly keys: KeyCodec<K>
  /** What the stored keys begin with and the store's own keys lack. */
  readonly prefix: string
  readonly missOnFailure: boolean
  /** When what is written expires if nobody says. */
  readonly lifetime: Rule
}

/**
 * What an update does to the value it was shown. `Touch` leaves that as it is stored, and changes only its expiry,
 * `Infinity` for none.
 *
 * @internal
 */
export type Edit<A> =
  | { readonly _tag: "Keep" }
  | { readonly _tag: "Remove" }
  | { readonly _tag: "Touch"; readonly expiresAt: number }
  | { readonly _tag: "Put"; readonly value: A; readonly expiresAt: number | undefined }

/** @internal */
export const keep: Edit<never> = { _tag: "Keep" }

/** @internal */
export const remove: Edit<never> = { _tag: "Remove" }

/** @internal */
export const put = <A>(value: A, expiresAt: number | undefined): Edit<A> => ({ _tag: "Put", expiresAt, value })

/** @internal */
export const touch = (expiresAt: number): Edit<never> => ({ _tag: "Touch", expiresAt })

/** An entry that is there, as far as its expiry goes. */
interface Live {
  readonly expiresAt: number | undefined
}

/** From the value, if there is one, and its entry, to an answer and what is to be done. */
type Update<A, B> = (value: Option.Option<A>, live: Live | undefined) => readonly [B, Edit<A>]

/**
 * When what a call writes expires, given what it finds.
 *
 * @internal
 */
export type ExpiryOf = (live: Live | undefined) => number | undefined

const withoutExpiry: ExpiryOf = () => undefined

const sameEntry = (a: Option.Option<Storage.Entry>, b: Option.Option<Storage.Entry>): boolean =>
  Option.isSome(a) && Option.isSome(b)
    ? a.value.expiresAt === b.value.expiresAt && Codec.raw.equivalence(a.value.value, b.value.value)
    : Option.isNone(a) && Option.isNone(b)

/** How often an update with an asynchronous codec may lose a race before it takes a transaction. */
const maxRaces = 5

/** @internal */
export type View<K, A> = ReturnType<typeof makeView<K, A>>

/** @internal */
export const makeView = <K, A>(parts: Parts<K, A>) => {
  const { codec, keys, keyspace, lifetime, missOnFailure, prefix, storage } = parts
  const { name } = keyspace

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
  const withKey = <B, E, R>(
    key: K,
    f: (key: string) => Effect.Effect<B, E, R>
  ): Effect.Effect<B, E | InvalidKey, R> => {
    if (keys.asIs !== undefined && typeof key === "string") return f(prefix + key)
    const encoded = encodeKey(key)
    return isDone(encoded) && Exit.isSuccess(encoded)
      ? f(prefix + encoded.value)
      : Effect.flatMap(encoded, (key) => f(prefix + key))
  }
  const storedKeys = (keys: Iterable<K>): Effect.Effect<Array<string>, InvalidKey> =>
    forEach(keys, (key) => withKey(key, Exit.succeed))
  const encode = (key: string, value: A): Effect.Effect<Storage.Value, Codec.CodecError> =>
    codec.encode(value, { key, keyspace: name })
  const orMiss = <B>(self: Effect.Effect<B, Codec.CodecError>): Effect.Effect<B | typeof missed, Codec.CodecError> =>
    !missOnFailure
      ? self
      : !isDone(self)
      ? Effect.catchAll(self, () => Effect.succeed(missed))
      : Exit.isFailure(self) && Cause.isFailType(self.cause)
      ? Exit.succeed(missed)
      : self
  const decode = ({ key, value }: Storage.Entry): Effect.Effect<A | typeof missed, Codec.CodecError> =>
    orMiss(codec.decode(value, { key, keyspace: name }))
  const toOption = (value: A | typeof missed): Option.Option<A> => value === missed ? Option.none() : Option.some(value)
  const decodeOption = (entry: Option.Option<Storage.Entry>): Effect.Effect<Option.Option<A>, Codec.CodecError> => {
    if (Option.isNone(entry)) return Exit.succeed(Option.none())
    const value = decode(entry.value)
    return isDone(value) && Exit.isSuccess(value) ? Exit.succeed(toOption(value.value)) : Effect.map(value, toOption)
  }
  const withoutPrefix = (key: string): string => prefix === "" ? key : key.slice(prefix.length)
  const decodeKey = (key: string): Effect.Effect<K | typeof missed, Codec.CodecError> =>
    orMiss(safely("decode", { key, keyspace: name }, () => keys.decode(withoutPrefix(key), key)))
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

  const encodeEdit = (
    key: string,
    entry: Option.Option<Storage.Entry>,
    edit: Edit<A>
  ): Effect.Effect<Storage.Change, Codec.CodecError> =>
    edit._tag === "Put"
      ? andThen(encode(key, edit.value), (value) => Exit.succeed(Storage.put(value, edit.expiresAt)))
      : edit._tag === "Touch"
      ? Exit.succeed(
        Option.isSome(entry) && (entry.value.expiresAt ?? Infinity) !== edit.expiresAt
          ? Storage.put(entry.value.value, edit.expiresAt)
          : Storage.keep
      )
      : Exit.succeed(edit)

  /** What an update comes to: decode, `f`, encode. */
  const apply = <B>(
    key: string,
    entry: Option.Option<Storage.Entry>,
    f: Update<A, B>
  ): Effect.Effect<readonly [B, Storage.Change], Codec.CodecError> =>
    andThen(decodeOption(entry), (value) => {
      // A misfit is absent: it can be written over, and what would remove it removes nothing.
      const isMisfit = Option.isNone(value) && Option.isSome(entry)
      const [answer, edit] = f(value, isMisfit ? undefined : Option.getOrUndefined(entry))
      return andThen(
        encodeEdit(key, entry, isMisfit && edit._tag === "Remove" ? keep : edit),
        (change) => Exit.succeed([answer, change] as const)
      )
    })

  /**
   * The atomic update that most others are. With a synchronous codec all of it happens inside the waist's `modify`. An
   * asynchronous one cannot run there: what it made of an entry is written if the entry is still the same.
   */
  const edit = <B>(key: string, f: Update<A, B>): Effect.Effect<B, Failure> => {
    const slow = Effect.flatMap(
      keyspace.get(key),
      (entry) => apply(key, entry, f).pipe(Effect.map((applied) => ({ applied, entry })))
    )
    const race = (left: number): Effect.Effect<B, Failure> =>
      left === 0
        ? storage.transaction(
          Effect.flatMap(slow, ({ applied: [answer, change] }) =>
            Effect.as(keyspace.modify(key, () => [undefined, change]), answer)),
          { retry: true }
        )
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

  /**
   * Translates page by page, and leaves out what is missed. By pulling: with an effect for each chunk of a stream
   * (`mapChunksEffect`), a scan of a million entries leaves 100 MB for the garbage collector to find.
   */
  const translated = <B, C>(
    stream: Stream.Stream<B, StorageError | InvalidKey>,
    translate: (item: B) => Effect.Effect<C | typeof missed, Codec.CodecError>
  ): Stream.Stream<C, Failure> => {
    const page = (items: Chunk.Chunk<B>): Effect.Effect<Chunk.Chunk<C>, Option.Option<Failure>> =>
      Effect.mapBoth(forEach(Chunk.toReadonlyArray(items), translate), {
        onFailure: Option.some,
        onSuccess: Chunk.unsafeFromArray
      })
    return Stream.fromPull(Effect.map(Stream.toPull(stream), Effect.flatMap(page)))
  }

  const invalid = (method: string, key: string, detail: string) =>
    Effect.fail(new StorageError({ detail, key, keyspace: name, method, reason: "InvalidValue" }))

  /** Reads what a user gave; what is wrong with it is an error of the call. */
  const parsed = <B, C, E, R>(
    method: string,
    key: string,
    input: Either.Either<B, string>,
    use: (value: B) => Effect.Effect<C, E, R>
  ): Effect.Effect<C, E | StorageError, R> =>
    Either.isRight(input) ? use(input.right) : invalid(method, key, input.left)

  /** Decides when what is written expires: as told, or by the rule for what is not. */
  const expiring = <B, E>(
    method: string,
    key: string,
    expiry: Expiry | undefined,
    unsaid: Rule,
    use: (expiryOf: ExpiryOf) => Effect.Effect<B, E>
  ): Effect.Effect<B, E | StorageError> => {
    const decide = (rule: Rule): Effect.Effect<B, E> =>
      rule === never
        ? use(withoutExpiry)
        : withNow((now) => use((live) => rule.keeps && live !== undefined ? live.expiresAt : rule.at(now)))
    return expiry === undefined ? decide(unsaid) : parsed(method, key, parseExpiry(expiry, unsaid, lifetime), decide)
  }

  /** What is stored at `from` in the form in which it can be stored at `to`. */
  const moved = (entry: Storage.Entry, to: string): Effect.Effect<Storage.Value | typeof missed, Codec.CodecError> =>
    codec.bindsToKey
      ? andThen(
        decode(entry),
        (value): Effect.Effect<Storage.Value | typeof missed, Codec.CodecError> =>
          value === missed ? Exit.succeed(missed) : encode(to, value)
      )
      : Exit.succeed(entry.value)

  /** Moves an entry, with its expiry. */
  const rename = (from: string, to: string, overwrite: boolean): Effect.Effect<Renamed, Failure> =>
    storage.transaction(
      Effect.flatMap(keyspace.get(from), (source): Effect.Effect<Renamed, Failure> => {
        if (Option.isNone(source)) return Effect.succeed("SourceMissing")
        if (from === to) return Effect.succeed("Renamed")
        const { expiresAt } = source.value
        return andThen(
          moved(source.value, to),
          (value): Effect.Effect<Renamed, Failure> =>
            value === missed ? Effect.succeed("SourceMissing") : Effect.flatMap(
              keyspace.modify(
                to,
                (target) =>
                  Option.isSome(target) && !overwrite ? [false, Storage.keep] : [true, Storage.put(value, expiresAt)]
              ),
              (written) =>
                written ? Effect.as(keyspace.remove(from), "Renamed" as const) : Effect.succeed("TargetExists")
            )
        )
      }),
      { retry: true }
    )

  return {
    decode,
    decodeEntry,
    decodeKey,
    decodeOption,
    edit,
    encode,
    expiring,
    parsed,
    ranged,
    rename,
    storedKeys,
    translated,
    withKey,
    withRange
  }
}

/**
 * What every way to open a store begins with.
 *
 * @internal
 */
export const openParts = <A, I, R, K, IK extends string, KR>(
  options: Options<A, I, R, K, IK, KR>,
  lifetime: Rule
): Effect.Effect<Parts<K, A>, StorageError, Storage.Storage | R | KR> =>
  Effect.gen(function*() {
    const storage = yield* Storage.Storage
    const context = yield* lastingContext<R | KR>()
    const codec = Codec.TypeId in options.value ? options.value : Codec.json(options.value)
    return {
      codec: provided(codec, context),
      keys: options.key === undefined
        ? textKeys(options.keyspace)
        : schemaKeys(options.key, options.keyspace, context),
      keyspace: yield* storage.keyspace(options.keyspace),
      lifetime,
      missOnFailure: options.onDecodeFailure === "miss",
      prefix: "",
      storage
    }
  })

/** @internal */
export const openPlain = (
  keyspace: string,
  lifetime: Rule
): Effect.Effect<Parts<string, Storage.Value>, StorageError, Storage.Storage> =>
  openParts<Storage.Value, unknown, never, string, string, never>({ keyspace, value: Codec.raw }, lifetime)

/**
 * The keys with a prefix; what is left of them is a string.
 *
 * @internal
 */
export const within = <K, A>(parts: Parts<K, A>, prefix: string): Parts<string, A> => ({
  ...parts,
  keys: textKeys(parts.keyspace.name),
  prefix: parts.prefix + prefix
})

/** @internal */
export const withinTyped = <K, A, Rest, I extends string>(
  parts: Parts<K, A>,
  prefix: string,
  key: Schema.Schema<Rest, I>
): Parts<Rest, A> => ({
  ...parts,
  keys: schemaKeys(key, parts.keyspace.name, Context.empty()),
  prefix: parts.prefix + prefix
})
