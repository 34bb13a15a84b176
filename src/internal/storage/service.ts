/**
 * The `Storage` service over an engine's `Access`: keyspaces that are opened once, transactions, maintenance and the
 * sweeper. The same for every engine.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Keyspace, KeyspaceInfo, Options, Storage } from "../../Storage.js"
import { StorageError } from "../../StorageError.js"
import type { Access } from "./access.js"
import { callOf } from "./call.js"
import { isSystemClock } from "./compat.js"
import { textKeys } from "./keys.js"
import { makeSweeper, sweep } from "./sweep.js"
import { inTransaction } from "./transactions.js"

/** @internal */
export const makeService = <C, X>(engine: {
  readonly access: Access<C, X>
  readonly openText: (name: string) => Effect.Effect<Keyspace, StorageError>
  readonly openBytes: (name: string) => Effect.Effect<Keyspace<Uint8Array>, StorageError>
  /** The keyspaces there are, in any order. */
  readonly keyspaces: Effect.Effect<ReadonlyArray<KeyspaceInfo>, StorageError>
  /** Gives free room back. */
  readonly reclaim: Effect.Effect<void, StorageError>
  readonly sweep: Options["sweep"]
}): Effect.Effect<Storage["Type"], StorageError, Scope.Scope> =>
  Effect.gen(function*() {
    const { access } = engine
    const texts = new Map<string, Keyspace>()
    const bytes = new Map<string, Keyspace<Uint8Array>>()

    /** What is opened in a transaction may yet be rolled back, so it is remembered after its commit. */
    const once = <K extends Keyspace | Keyspace<Uint8Array>>(
      opened: Map<string, K>,
      open: (name: string) => Effect.Effect<K, StorageError>
    ) =>
    (name: string): Effect.Effect<K, StorageError> =>
      Effect.suspend(() => {
        const found = opened.get(name)
        if (found !== undefined) return Effect.succeed(found)
        return Effect.zipWith(open(name), access.level, (keyspace, level) => {
          const remember = () => void opened.set(name, keyspace)
          if (level === undefined) remember()
          else level.onCommit.push(remember)
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

    const { sweep: settings } = engine
    const sweeper = yield* makeSweeper(all)
    // On a clock that somebody installed, a test's, a month may pass in a moment: there it runs if it is asked for.
    if (settings === undefined ? yield* isSystemClock : settings !== false) yield* sweeper(settings || {})

    const service: Storage["Type"] = {
      keyspace,
      maintenance: {
        compact: Effect.flatMap(
          all,
          Effect.reduce(
            0,
            (total, keyspace) => Effect.map(sweep(keyspace, settings || {}), (removed) => total + removed)
          )
        ).pipe(
          Effect.zipLeft(engine.reclaim)
        ),
        flush: access.flush,
        keyspaces: Effect.map(engine.keyspaces, (all) => [...all].sort((a, b) => textKeys.compare(a.name, b.name))),
        stats: Effect.flatMap(all, (keyspaces) =>
          Effect.forEach(keyspaces, (keyspace) =>
            Effect.map(
              Effect.catchTag(keyspace.stat(), "InvalidKey", Effect.die),
              (stat) => ({ ...stat, keyspace: keyspace.name })
            ))),
        sweeper
      },
      transaction: (self, options) => {
        const once = access.transaction(self, callOf("transaction"))
        const retry = options?.retry ?? false
        return retry === false ? once : access.retrying(once, retry === true ? undefined : retry, isLost)
      }
    }
    hooks.set(service, (f) => Effect.map(access.level, (level) => void level?.onCommit.push(f)))
    return service
  })

/** How something is done when what a fiber is in is committed. */
const hooks = new WeakMap<Storage["Type"], (f: () => void) => Effect.Effect<void>>()

/**
 * Has something be done when the transaction of the Storage that the fiber is in is committed, with all that it is nested
 * in. Not of one that the user's client has opened, unless it is the client of `Sqlite.layer`: nobody tells of its end.
 *
 * @internal
 */
export const afterCommit = (storage: Storage["Type"], f: () => void): Effect.Effect<void> =>
  hooks.get(storage)?.(f) ?? Effect.void

/**
 * `afterCommit`, or at once if the fiber is in no transaction.
 *
 * @internal
 */
export const onceCommitted = (storage: Storage["Type"], f: () => void): Effect.Effect<void> =>
  Effect.withFiberRuntime<void>((fiber) =>
    inTransaction(fiber.currentContext) ? afterCommit(storage, f) : Effect.sync(f)
  )

const isLost = (error: unknown): boolean => error instanceof StorageError && error.reason === "Busy"
