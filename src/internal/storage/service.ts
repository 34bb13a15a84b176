/**
 * The `Storage` service over an engine's `Access`: keyspaces that are opened once, transactions, maintenance and the
 * sweeper. The same for every engine.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Keyspace, Options, Storage } from "../../Storage.js"
import { StorageError } from "../../StorageError.js"
import type { Access } from "./access.js"
import { nextTurn } from "./compat.js"
import { failing } from "./fault.js"
import { toLimit } from "./range.js"

/** @internal */
export const makeService = <C, X>(engine: {
  readonly access: Access<C, X>
  readonly openText: (name: string) => Effect.Effect<Keyspace, StorageError>
  readonly openBytes: (name: string) => Effect.Effect<Keyspace<Uint8Array>, StorageError>
  /** Gives free room back. */
  readonly reclaim: Effect.Effect<void, StorageError>
  readonly sweep: Options["sweep"]
}): Effect.Effect<Storage["Type"], never, Scope.Scope> =>
  Effect.gen(function*() {
    const { access } = engine
    const texts = new Map<string, Keyspace>()
    const bytes = new Map<string, Keyspace<Uint8Array>>()

    /** What is opened in a transaction may yet be rolled back, so it is not remembered. */
    const once = <K extends Keyspace | Keyspace<Uint8Array>>(
      opened: Map<string, K>,
      open: (name: string) => Effect.Effect<K, StorageError>
    ) =>
    (name: string): Effect.Effect<K, StorageError> =>
      Effect.suspend(() => {
        const found = opened.get(name)
        if (found !== undefined) return Effect.succeed(found)
        return Effect.zipWith(open(name), access.level, (keyspace, level) => {
          if (level === undefined) opened.set(name, keyspace)
          return keyspace
        })
      })
    const openText = once(texts, engine.openText)
    const openBytes = once(bytes, engine.openBytes)

    function keyspace(
      name: string,
      options?: { readonly keys?: "text" | undefined }
    ): Effect.Effect<Keyspace, StorageError>
    function keyspace(
      name: string,
      options: { readonly keys: "bytes" }
    ): Effect.Effect<Keyspace<Uint8Array>, StorageError>
    function keyspace(name: string, options?: { readonly keys?: "text" | "bytes" | undefined }) {
      return options?.keys === "bytes" ? openBytes(name) : openText(name)
    }

    const all = Effect.sync(() => [...texts.values(), ...bytes.values()])

    /** Removes what is expired, a slice at a time; other fibers and timers run between slices. */
    const sweep = (batchSize: number): Effect.Effect<number, StorageError> => {
      const drain = (keyspace: Keyspace | Keyspace<Uint8Array>, total: number): Effect.Effect<number, StorageError> =>
        Effect.flatMap(keyspace.removeExpired({ limit: batchSize }), (removed) =>
          removed < batchSize
            ? Effect.succeed(total + removed)
            : Effect.zipRight(nextTurn, drain(keyspace, total + removed)))
      return Effect.flatMap(
        all,
        (keyspaces) => Effect.reduce(keyspaces, 0, (total, keyspace) => drain(keyspace, total))
      )
    }

    const { batchSize: wanted = 200, interval = "1 minute" } = engine.sweep === false ? {} : engine.sweep ?? {}
    const batchSize = Math.max(1, toLimit(wanted))
    if (engine.sweep !== false) {
      const every = Duration.decode(interval)
      yield* sweep(batchSize).pipe(
        Effect.catchIf(
          (error) => error.reason !== "ReadOnly",
          (error) => Effect.logWarning("effect-kv: a sweep of expired entries failed", error)
        ),
        Effect.repeat(Schedule.spaced(every)),
        Effect.delay(every),
        // What cannot be written has no need to be swept.
        Effect.ignore,
        Effect.forkScoped
      )
    }

    return {
      keyspace,
      maintenance: {
        compact: Effect.zipLeft(sweep(batchSize), engine.reclaim),
        flush: access.flush,
        stats: Effect.flatMap(all, (keyspaces) =>
          Effect.forEach(keyspaces, (keyspace) =>
            Effect.map(
              Effect.catchTag(keyspace.stat(), "InvalidKey", Effect.die),
              (stat) => ({ ...stat, keyspace: keyspace.name })
            )))
      },
      transaction: (self, options) => {
        const once = access.transaction(self, failing("transaction"))
        return options?.retry === undefined ? once : Effect.retry(once, { schedule: options.retry, while: isLost })
      }
    }
  })

const isLost = (error: unknown): boolean => error instanceof StorageError && error.reason === "Busy"
