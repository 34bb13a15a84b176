/**
 * What every memoised function is made of.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Codec from "../../Codec.js"
import type { CommonOptions } from "../../Memoize.js"
import * as Storage from "../../Storage.js"
import { StorageError } from "../../StorageError.js"
import { providing } from "../done.js"
import { lastingContext } from "../storage/transactions.js"
import * as bounded from "../store/bounds.js"
import { provided } from "../store/codecs.js"
import { Flights } from "../store/flights.js"
import { type Calls, makeCalls } from "./calls.js"
import { type Listener, listening } from "./coherence.js"
import { InMemory } from "./inMemory.js"
import { type Counts, countsOf } from "./metrics.js"
import { parseSettings, type Settings, type SettingsOptions } from "./settings.js"
import * as versioned from "./versions.js"

/** @internal */
export interface Parts<in out Args extends ReadonlyArray<unknown>, in out A, in out F> {
  readonly name: string
  readonly options: Pick<CommonOptions<Args, A, F, unknown, unknown, unknown>, "tags" | "timeToLive">
  readonly settings: Settings
  readonly storage: Storage.Storage["Type"]
  readonly keyspace: Storage.Keyspace
  readonly calls: Calls<Args>
  readonly versions: versioned.Versions
  readonly bounds: bounded.Bounds | undefined
  readonly memory: InMemory<A, F> | undefined
  /** Those who call the function. */
  readonly flights: Flights<A>
  /** Those who ask for what somebody else is asking for already, by the text of their arguments. */
  readonly reads: Flights<A>
  /** Hears what namesakes change. */
  readonly listener: Listener
  readonly successes: Codec.Codec<A>
  readonly failures: Codec.Codec<F> | undefined
  /** Whether a failure is stored. */
  readonly isStorable: (error: unknown) => error is F
  /** Whether calls are memoised now; undefined: always. */
  readonly isEnabled: Effect.Effect<boolean> | undefined
  readonly count: Counts
  /** What the options say wrong, or what they throw. */
  readonly invalid: (detail: string, cause?: unknown) => StorageError
}

/** @internal */
export interface PartsOptions<Args extends ReadonlyArray<unknown>, IArgs, RArgs, A, IA, RA, F, IF, RF, RO>
  extends CommonOptions<Args, A, F, IF, RF, RO>, Omit<SettingsOptions, keyof CommonOptions<Args, A, F, IF, RF, RO>>
{
  readonly name: string
  readonly args: Schema.Schema<Args, IArgs, RArgs>
  readonly success: Schema.Schema<A, IA, RA>
}

/** @internal */
export const openParts = <Args extends ReadonlyArray<unknown>, IArgs, RArgs, A, IA, RA, F, IF, RF, RO>(
  options: PartsOptions<Args, IArgs, RArgs, A, IA, RA, F, IF, RF, RO>
): Effect.Effect<Parts<Args, A, F>, StorageError, Storage.Storage | Scope.Scope | RArgs | RA | RF | RO> =>
  Effect.gen(function*() {
    const { name } = options
    const keyspaceName = options.keyspace ?? `memo/${name}`
    const invalid = (detail: string, cause?: unknown) =>
      new StorageError({ cause, detail, keyspace: keyspaceName, method: "memoize", reason: "InvalidValue" })
    const settings = yield* Either.match(parseSettings(options), {
      onLeft: (issue) => Effect.fail(invalid(issue)),
      onRight: Effect.succeed
    })
    const storage = yield* Storage.Storage
    const keyspace = yield* storage.keyspace(keyspaceName)
    const memory = settings.inMemory && new InMemory<A, F>(settings.inMemory.capacity, settings.inMemory.maxAge)
    const flights = new Flights<A>()
    const reads = new Flights<A>()
    const listener: Listener = {
      invalidated: (call, place) => {
        memory?.forget(call?.text, place)
        flights.supersede(call?.key)
        reads.supersede(call?.text)
      },
      stored: (text, place) => memory?.forget(text, place),
      tagsInvalidated: (place) => {
        if (options.tags === undefined) return
        memory?.forgetTagged(place)
        // Which tags an answer will have is not known before it is there.
        flights.supersede(undefined)
        reads.supersede(undefined)
      }
    }
    yield* listening(storage, keyspaceName, listener)
    const context = yield* lastingContext<RA | RF>()
    const provide = providing(yield* lastingContext<RO>())
    const codecOf = options.codec ?? Codec.json
    const fits = options.failure === undefined ? () => false : Schema.is(options.failure)
    const isStorable = (error: unknown): error is F => {
      try {
        return fits(error)
      } catch {
        return false
      }
    }
    return {
      bounds: settings.bounds && (yield* bounded.open(
        storage,
        bounded.keptIn(keyspace, `memo:order ${keyspace.name}`),
        settings.bounds
      )),
      calls: yield* makeCalls(options, keyspaceName),
      count: countsOf(name),
      flights,
      failures: options.failure && provided(codecOf(options.failure), context),
      invalid,
      isEnabled: options.enabled && Effect.catchAllCause(provide(options.enabled), () => Effect.succeed(false)),
      isStorable,
      keyspace,
      listener,
      memory,
      name,
      options,
      reads,
      settings,
      storage,
      successes: provided(codecOf(options.success), context),
      versions: yield* versioned.open(storage, keyspaceName)
    }
  })
