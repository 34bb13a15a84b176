/**
 * What every kind of memoised function is made of: how a call becomes a key, how a stored answer is read and judged, and
 * how a new one is stored. It knows nothing of how the function is called.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Codec from "../../Codec.js"
import type { CommonOptions, Controls, Peeked, Trouble } from "../../Memoize.js"
import * as Storage from "../../Storage.js"
import { type InvalidKey, StorageError } from "../../StorageError.js"
import { andThen, fromParser, providing } from "../done.js"
import { withNow } from "../storage/compat.js"
import { parseDuration } from "../storage/duration.js"
import { lastingContext } from "../storage/transactions.js"
import { provided } from "../store/codecs.js"
import * as bounded from "./bounds.js"
import { type Entry, parse, print, tombstone } from "./entry.js"
import { forgetting, InMemory, register } from "./inMemory.js"
import * as key from "./key.js"
import { countsOf } from "./metrics.js"
import { parseSettings } from "./settings.js"
import { type Situation, situationOf } from "./situation.js"
import { soundly } from "./soundly.js"
import * as tagged from "./tags.js"
import { word } from "./word.js"

/**
 * A call, with the keys of its answer: in memory, and in the storage.
 *
 * @internal
 */
export interface Call<Args> {
  readonly args: Args
  readonly text: string
  readonly key: string
  readonly situation: Situation
  /** Whether there is a span of it. */
  readonly isTraced: boolean
}

/**
 * What is known of a stored answer.
 *
 * @internal
 */
export interface Known {
  /** Undefined: there is none that counts. */
  readonly entry: Entry | undefined
  /** It was invalidated softly, by a tag. */
  readonly isSoft: boolean
  /** The word of the last invalidation. */
  readonly mark: string
}

/** @internal */
export const nothing: Known = { entry: undefined, isSoft: false, mark: "" }

/**
 * What may be done with a stored answer.
 *
 * @internal
 */
export type Judgement = "fresh" | "revalidate" | "resting" | "fallback" | "none"

/**
 * An answer that the function gave, and what was known before.
 *
 * @internal
 */
export interface Answered<Args, A, E> {
  readonly call: Call<Args>
  readonly known: Known
  readonly exit: Exit.Exit<A, E>
  /** What the versions of tags had come to. */
  readonly version: number
  /** Whether it still is to be stored, as far as this process knows. */
  readonly isCurrent: () => boolean
}

/** How long an invalidation is remembered, for what was being computed when it came, in milliseconds. */
const remembered = 300_000

const succeedNone = Exit.succeed(Option.none<never>())

/** @internal */
export interface CoreOptions<Args extends ReadonlyArray<unknown>, IArgs, RArgs, A, IA, RA, F, IF, RF, RO>
  extends CommonOptions<Args, A, F, IF, RF, RO>
{
  readonly name: string
  readonly args: Schema.Schema<Args, IArgs, RArgs>
  readonly success: Schema.Schema<A, IA, RA>
  readonly hardTimeout?: Duration.DurationInput | undefined
  readonly lease?: Duration.DurationInput | undefined
}

/**
 * How calls fail by what goes wrong with the storage, if they do.
 *
 * @internal
 */
export interface Failing<X> {
  readonly onMisfit?: ((error: Codec.CodecError) => Effect.Effect<never, X>) | undefined
  readonly onTrouble?: ((error: Trouble) => Effect.Effect<never, X>) | undefined
}

/** @internal */
export type Core<Args extends ReadonlyArray<unknown>, A, F, X> = Effect.Effect.Success<
  ReturnType<typeof makeCore<Args, never, never, A, never, never, F, never, never, never, X>>
>

/** @internal */
export const makeCore = <Args extends ReadonlyArray<unknown>, IArgs, RArgs, A, IA, RA, F, IF, RF, RO, X>(
  options: CoreOptions<Args, IArgs, RArgs, A, IA, RA, F, IF, RF, RO>,
  failing: Failing<X>
) =>
  Effect.gen(function*() {
    const { name, tags, timeToLive } = options
    const keyspaceName = options.keyspace ?? `memo/${name}`
    const invalid = (detail: string, cause?: unknown) =>
      new StorageError({ cause, detail, keyspace: keyspaceName, method: "memoize", reason: "InvalidValue" })
    const settings = yield* Either.match(parseSettings(options), {
      onLeft: (issue) => Effect.fail(invalid(issue)),
      onRight: Effect.succeed
    })
    const storage = yield* Storage.Storage
    const keyspace = yield* storage.keyspace(keyspaceName)
    const versions = yield* tagged.open(storage)
    const bounds = settings.bounds && (yield* bounded.open(storage, keyspace, settings.bounds))
    const memory = settings.inMemory && new InMemory<A, F>(settings.inMemory.capacity, settings.inMemory.maxAge)
    if (memory !== undefined) yield* register(storage, keyspaceName, memory)
    const provide = providing(yield* lastingContext<RArgs | RA | RF | RO>())
    const context = yield* lastingContext<RA | RF>()
    const count = countsOf(name)
    const isEnabled = options.enabled && Effect.catchAllCause(provide(options.enabled), () => Effect.succeed(false))

    const codecOf = options.codec ?? Codec.json
    const successes = provided(codecOf(options.success), context)
    const failures = options.failure && provided(codecOf(options.failure), context)
    const fits = options.failure === undefined ? () => false : Schema.is(options.failure)
    const isStorable = (error: unknown): error is F => fits(error)

    // Keys

    const encodeArgs = ParseResult.encode(options.args)
    const identity = `${key.print([name, options.version ?? 1])} `
    const badArgs = (detail: string, cause?: unknown) =>
      new Codec.CodecError({ cause, detail, key: "(arguments)", keyspace: keyspaceName, operation: "encode" })
    const printed = (prefix: string, value: unknown): Exit.Exit<string, Codec.CodecError> => {
      try {
        return Exit.succeed(prefix + key.print(value))
      } catch (cause) {
        return Exit.fail(badArgs(cause instanceof Error ? cause.message : String(cause), cause))
      }
    }
    const textOf = (args: Args): Effect.Effect<string, Codec.CodecError> => {
      try {
        return options.key !== undefined ? printed("key ", options.key(...args)) : provide(
          fromParser(
            encodeArgs(args),
            (issue) => badArgs(ParseResult.TreeFormatter.formatIssueSync(issue)),
            (encoded) => printed("", encoded)
          )
        )
      } catch (cause) {
        return Exit.fail(badArgs(`the key, or the schema of the arguments, threw ${String(cause)}`, cause))
      }
    }
    const callOf = (args: Args, text: string, situation: Situation, isTraced = false): Call<Args> => ({
      args,
      isTraced,
      key: key.digest(identity + text),
      situation,
      text
    })
    const keyed = <B, E, R>(args: Args, use: (call: Call<Args>) => Effect.Effect<B, E, R>) =>
      Effect.withFiberRuntime<B, E | Codec.CodecError, R>((fiber) =>
        andThen(textOf(args), (text) => use(callOf(args, text, situationOf(fiber.currentContext))))
      )

    // Troubles

    let isTroubled = false
    /** What the caller is told of a trouble: nothing, unless it is to fail. */
    const tolerate = <B, E>(error: Trouble, otherwise: Effect.Effect<B, E>): Effect.Effect<B, E | X> => {
      if (failing.onTrouble !== undefined) return failing.onTrouble(error)
      count.errors(1)
      if (isTroubled) return otherwise
      isTroubled = true
      return Effect.zipRight(
        Effect.logWarning(`effect-kv: the function ${name} is not memoised as long as this lasts`, error),
        otherwise
      )
    }
    const recovered = (): void => {
      isTroubled = false
    }

    // Reading

    const misfit = (call: { readonly key: string }) =>
      new Codec.CodecError({
        detail: "it is not a stored answer",
        key: call.key,
        keyspace: keyspaceName,
        operation: "decode"
      })

    const knownOf = (entry: Entry | undefined, validity: tagged.Validity): Known =>
      entry === undefined ? nothing : {
        entry: entry.kind === "none" || validity === "hard" ? undefined : entry,
        isSoft: validity === "soft",
        mark: entry.mark
      }
    /** What entries come to, all of which are asked for their tags at once. */
    const looked = (found: ReadonlyArray<Option.Option<Storage.Entry>>): Effect.Effect<Array<Known>, StorageError> => {
      const entries = found.map((stored) => Option.isSome(stored) ? parse(stored.value.value) : undefined)
      return entries.every((entry) => entry === undefined || entry.tags.length === 0)
        ? Exit.succeed(entries.map((entry) => knownOf(entry, "valid")))
        : Effect.map(
          versions.check(entries.map((entry) => entry ?? tombstone("", 0))),
          (validities) => entries.map((entry, i) => knownOf(entry, validities[i] ?? "valid"))
        )
    }

    /** What is known of the answer to a call. One effect where there are no tags: calls that hit do little else. */
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
          const entry = Option.isSome(found) ? parse(found.value.value) : undefined
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
    const readMany = (calls: ReadonlyArray<Call<Args>>): Effect.Effect<Array<Known>, StorageError> =>
      Effect.flatMap(soundly(keyspace.getMany(calls.map((call) => call.key))), looked)

    const isFallback = ({ entry, isSoft }: Known, now: number): boolean =>
      entry !== undefined && (isSoft || entry.mark !== "" || now < entry.freshUntil + settings.staleIfError)

    const judge = (known: Known, now: number): Judgement => {
      const { entry, isSoft } = known
      if (entry === undefined) return "none"
      if (!isSoft && entry.mark === "" && now < entry.freshUntil) return "fresh"
      const isResting = now < entry.retryAt
      return settings.staleWhileRevalidate > 0 &&
          (isSoft || now < entry.freshUntil + settings.staleWhileRevalidate)
        ? isResting ? "resting" : "revalidate"
        : isFallback(known, now)
        ? isResting ? "resting" : "fallback"
        : "none"
    }

    /** The answer that an entry holds. */
    const decode = (call: Call<Args>, entry: Entry): Effect.Effect<Exit.Exit<A, F>, Codec.CodecError> => {
      const at = { key: call.key, keyspace: keyspaceName }
      if (entry.kind === "success") {
        return andThen(successes.decode(entry.body, at), (value) => Exit.succeed(Exit.succeed(value)))
      }
      return failures === undefined
        ? Exit.fail(misfit(call))
        : andThen(failures.decode(entry.body, at), (error) => Exit.succeed(Exit.fail(error)))
    }

    /** Keeps a fresh answer in memory. */
    const hold = (call: Call<Args>, entry: Entry, exit: Exit.Exit<A, F>, now: number, generation: number): void => {
      if (memory === undefined || call.situation === "transaction") return
      const { freshUntil, lookupMillis, storedAt, tags } = entry
      memory.set(
        call.text,
        { exit, freshUntil, lookupMillis, storedAs: call.key, storedAt, tagged: tags.length > 0 },
        now,
        generation
      )
    }

    // Writing

    const lifeOf = (exit: Exit.Exit<A, F>, args: Args): Either.Either<number, string> =>
      parseDuration(typeof timeToLive === "function" ? timeToLive(exit, args) : timeToLive)

    const retention = Math.max(settings.staleWhileRevalidate, settings.staleIfError)

    interface Prepared {
      readonly call: Call<Args>
      readonly entry: Entry
      readonly exit: Exit.Exit<A, F>
      readonly expiresAt: number | undefined
      readonly isCurrent: () => boolean
      readonly seen: string
      readonly size: number
      readonly value: Storage.Value
    }

    /** An answer as it is to be stored, if it is. */
    const prepare = (
      { call, exit, isCurrent, known, version }: Answered<Args, A, F>,
      lookupMillis: number
    ): Effect.Effect<Option.Option<Prepared>, Trouble> =>
      withNow((now): Effect.Effect<Option.Option<Prepared>, Trouble> => {
        let life: Either.Either<number, string>
        let names: ReadonlyArray<string>
        try {
          life = lifeOf(exit, call.args)
          names = tags === undefined || Exit.isFailure(exit) ? [] : [...new Set(tags(call.args, exit.value))]
        } catch (cause) {
          return Effect.fail(invalid(`timeToLive, or tags, threw ${String(cause)}`, cause))
        }
        if (Either.isLeft(life)) return Effect.fail(invalid(`timeToLive: ${life.left}`))
        if (life.right <= 0 || !isCurrent()) return succeedNone
        const freshUntil = now + life.right
        const expiresAt = freshUntil + retention
        const at = { key: call.key, keyspace: keyspaceName }
        const body = Exit.isSuccess(exit)
          ? successes.encode(exit.value, at)
          : Option.match(Option.all([Cause.failureOption(exit.cause), Option.fromNullable(failures)]), {
            onNone: () => Exit.fail(misfit(call)),
            onSome: ([error, codec]) => codec.encode(error, at)
          })
        return andThen(body, (body) => {
          const entry: Entry = {
            body,
            freshUntil,
            kind: Exit.isSuccess(exit) ? "success" : "failure",
            lookupMillis,
            mark: "",
            retryAt: 0,
            storedAt: now,
            tags: names,
            version
          }
          const value = print(entry)
          const size = bounded.sizeOf(call.key, value)
          return bounds?.admits(size) === false ? succeedNone : Exit.succeed(Option.some({
            call,
            entry,
            exit,
            expiresAt: expiresAt === Infinity ? undefined : expiresAt,
            isCurrent,
            seen: known.mark,
            size,
            value
          }))
        })
      })

    /** Whether it was computed after the last invalidation. */
    const isValid = ({ isCurrent, seen }: Prepared, stored: Option.Option<Storage.Entry>): boolean => {
      const mark = Option.isNone(stored) ? "" : parse(stored.value.value)?.mark ?? ""
      return isCurrent() && (mark === "" || mark === seen)
    }
    const sizeOf = (stored: Option.Option<Storage.Entry>): number | undefined =>
      Option.isNone(stored) ? undefined : bounded.sizeOf(stored.value.key, stored.value.value)

    const write = (all: ReadonlyArray<Prepared>): Effect.Effect<ReadonlyArray<Prepared>, StorageError> => {
      const [first, ...more] = all
      if (first === undefined) return Effect.succeed([])
      if (more.length === 0) {
        return Effect.map(
          soundly(keyspace.modify(first.call.key, (stored) =>
            isValid(first, stored)
              ? [{ replaced: sizeOf(stored) }, Storage.put(first.value, first.expiresAt)]
              : [undefined, Storage.keep])),
          (done) => {
            if (done === undefined) return []
            bounds?.counted(first.size, done.replaced)
            return all
          }
        )
      }
      return storage.transaction(
        Effect.flatMap(soundly(keyspace.getMany(all.map(({ call }) => call.key))), (stored) => {
          const kept = all.flatMap((one, i) => {
            const before = stored[i] ?? Option.none()
            return isValid(one, before) ? [{ one, replaced: sizeOf(before) }] : []
          })
          return Effect.as(
            soundly(keyspace.setMany(
              kept.map(({ one: { call, expiresAt, value } }) => ({ expiresAt, key: call.key, value }))
            )),
            kept
          )
        }),
        { retry: true }
      ).pipe(Effect.map((kept) =>
        kept.map(({ one, replaced }) => {
          bounds?.counted(one.size, replaced)
          return one
        })
      ))
    }

    /** Stores answers. */
    const store = (
      answers: ReadonlyArray<Answered<Args, A, F>>,
      lookupMillis: number
    ): Effect.Effect<void, Trouble> =>
      Effect.flatMap(
        Effect.forEach(answers, (answer) => prepare(answer, lookupMillis)),
        (prepared) => {
          const all = prepared.flatMap(Option.toArray)
          if (all.length === 0) return Effect.void
          const generation = memory?.generation ?? 0
          return Effect.flatMap(write(all), (written) => {
            recovered()
            return withNow((now) => {
              for (const { call, entry, exit } of written) hold(call, entry, exit, now, generation)
              const forgotten = Effect.forEach(
                written,
                ({ call }) => forgetting(storage, keyspaceName, call.text, memory),
                { discard: true }
              )
              // In a transaction others may wait for it, and with them whoever has the turn.
              return Effect.zipRight(
                forgotten,
                bounds === undefined || written.length === 0 || written[0]?.call.situation === "transaction"
                  ? Effect.void
                  : Effect.map(
                    bounds.settled(
                      written.map(({ call, expiresAt, size }) => ({ bytes: size, expiresAt, key: call.key }))
                    ),
                    count.evictions
                  )
              )
            })
          })
        }
      )

    /** Has the function not be called again for a while. */
    const rest = (call: Call<Args>, entry: Entry): Effect.Effect<void, StorageError> =>
      withNow((now) =>
        soundly(keyspace.modify(call.key, (stored): readonly [void, Storage.Change] => {
          const current = Option.isNone(stored) ? undefined : parse(stored.value.value)
          return Option.isSome(stored) && current?.storedAt === entry.storedAt && current.mark === entry.mark
            ? [
              undefined,
              Storage.put(print({ ...current, retryAt: now + settings.backOff }), stored.value.expiresAt)
            ]
            : [undefined, Storage.keep]
        }))
      )

    // Controls

    /** Changes what is stored, and has what is being computed not be stored; tells whether there was an answer. */
    const invalidating = (
      args: Args,
      supersede: (call: Call<Args>) => void,
      change: (found: Entry | undefined, expiresAt: number | undefined, mark: string, now: number) => Storage.Change
    ): Effect.Effect<boolean, Trouble> =>
      keyed(args, (call) =>
        Effect.flatMap(word, (mark) =>
          withNow((now) => {
            supersede(call)
            return Effect.zipRight(
              forgetting(storage, keyspaceName, call.text),
              soundly(keyspace.modify(call.key, (stored) => {
                const entry = Option.isNone(stored) ? undefined : parse(stored.value.value)
                const found = entry?.kind === "none" ? undefined : entry
                const expiresAt = Option.isNone(stored) ? undefined : stored.value.expiresAt
                return [found !== undefined, change(found, expiresAt, mark, now)]
              }))
            ).pipe(Effect.ensuring(forgetting(storage, keyspaceName, call.text)))
          })))
    const bury = (mark: string, now: number): Storage.Change =>
      Storage.put(print(tombstone(mark, now)), now + remembered)

    const controls = (supersede: (call: Call<Args> | undefined) => void): Controls<Args, A, F> => ({
      invalidate: (...args) => invalidating(args, supersede, (_found, _expiresAt, mark, now) => bury(mark, now)),
      invalidateAll: Effect.suspend(() => {
        supersede(undefined)
        return soundly(keyspace.clear()).pipe(
          Effect.zipLeft(bounds?.cleared ?? Effect.void),
          Effect.ensuring(forgetting(storage, keyspaceName, undefined))
        )
      }),
      keyOf: (...args) => keyed(args, (call) => Effect.succeed(call.key)),
      peek: (...args) =>
        keyed(args, (call) =>
          Effect.flatMap(read(call), (known) =>
            withNow((now): Effect.Effect<Option.Option<Peeked<A, F>>, Trouble> => {
              const { entry } = known
              const judgement = judge(known, now)
              if (entry === undefined || judgement === "none") return succeedNone
              return Effect.map(decode(call, entry), (exit) =>
                Option.some({
                  age: Duration.millis(Math.max(0, now - entry.storedAt)),
                  exit,
                  state: judgement === "fresh" ? "fresh" : "stale",
                  timeToLive: judgement === "fresh" ? Duration.millis(entry.freshUntil - now) : Duration.zero
                }))
            }))),
      softInvalidate: (...args) =>
        invalidating(args, supersede, (found, expiresAt, mark, now) =>
          found === undefined
            ? bury(mark, now)
            : Storage.put(print({ ...found, freshUntil: Math.min(found.freshUntil, now), mark }), expiresAt))
    })

    return {
      bounds,
      callOf,
      controls,
      count,
      decode,
      failing,
      hold,
      isEnabled,
      isFallback,
      isStorable,
      judge,
      memory,
      name,
      provide,
      read,
      reading,
      readMany,
      recovered,
      rest,
      settings,
      store,
      textOf,
      tolerate,
      version: tags === undefined ? Exit.succeed(0) : versions.version
    }
  })
