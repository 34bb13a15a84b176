/**
 * The plain store under the tag and the contract of `@effect/platform`.
 *
 * @internal
 */
import * as PlatformError from "@effect/platform/Error"
import * as Platform from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { Failure } from "../../KeyValueStore.js"
import type * as Storage from "../../Storage.js"
import type { StorageError, StorageErrorReason } from "../../StorageError.js"
import { makePlain } from "../store/keyValueStore.js"

const reasons: Record<Exclude<StorageErrorReason, "InvalidValue">, PlatformError.SystemErrorReason> = {
  Busy: "Busy",
  Closed: "BadResource",
  Corrupt: "InvalidData",
  Full: "WriteZero",
  Incompatible: "InvalidData",
  NotADatabase: "InvalidData",
  Permission: "PermissionDenied",
  ReadOnly: "PermissionDenied",
  Unavailable: "Unknown",
  Unknown: "Unknown"
}

const failing = (method: string) => (cause: Failure): PlatformError.PlatformError => {
  const what = { cause, description: cause.message, method, module: "KeyValueStore" } as const
  // The codec of the plain store refuses only what it is given.
  return cause._tag === "StorageError" && cause.reason !== "InvalidValue"
    ? new PlatformError.SystemError({ ...what, reason: reasons[cause.reason] })
    : new PlatformError.BadArgument(what)
}

const encoder = new TextEncoder()

const toText = (value: Storage.Value): string => typeof value === "string" ? value : Encoding.encodeBase64(value)

const toBytes = (value: Storage.Value): Uint8Array => typeof value === "string" ? encoder.encode(value) : value

/**
 * The `modify` of a store of values of a schema. Theirs is a `get` and a `set`, between which others may write. Schemas
 * may do asynchronous work, which cannot run inside an update: what was made of a text is written if it is still there.
 */
const modifying = <A, I, R>(store: Platform.KeyValueStore, schema: Schema.Schema<A, I, R>) => {
  const json = Schema.parseJson(schema)
  const decode = Schema.decode(json)
  const encode = Schema.encode(json)
  const modify: Platform.SchemaStore<A, R>["modify"] = (key, f) =>
    Effect.gen(function*() {
      for (;;) {
        const text = yield* store.get(key)
        if (Option.isNone(text)) return Option.none()
        const value = f(yield* decode(text.value))
        const next = yield* encode(value)
        let same = false
        yield* store.modify(key, (now) => {
          same = now === text.value
          return same ? next : now
        })
        if (same) return Option.some(value)
      }
    })
  return modify
}

/** @internal */
export const makePlatform = (
  { keyspace = "platform", prefix = "" }: {
    readonly keyspace?: string | undefined
    readonly prefix?: string | undefined
  } = {}
): Effect.Effect<Platform.KeyValueStore, StorageError, Storage.Storage> =>
  Effect.map(makePlain(keyspace), (all) => {
    const store = all.prefix(prefix)
    const on = <A>(method: string, self: Effect.Effect<A, Failure>): Effect.Effect<A, PlatformError.PlatformError> =>
      Effect.mapError(self, failing(method))
    return Platform.make({
      clear: on("clear", Effect.asVoid(store.clear())),
      forSchema<A, I, R>(this: Platform.KeyValueStore, schema: Schema.Schema<A, I, R>): Platform.SchemaStore<A, R> {
        // Of `this`, which may be a view that `prefix` of theirs made.
        return {
          ...Platform.make(Struct.omit(this, "forSchema")).forSchema(schema),
          modify: modifying(this, schema)
        }
      },
      get: (key) => on("get", Effect.map(store.get(key), Option.map(toText))),
      getUint8Array: (key) => on("getUint8Array", Effect.map(store.get(key), Option.map(toBytes))),
      has: (key) => on("has", store.has(key)),
      isEmpty: on("isEmpty", store.isEmpty),
      modify: (key, f) => on("modify", Effect.map(store.update(key, (value) => f(toText(value))), Option.map(toText))),
      modifyUint8Array: (key, f) =>
        on("modifyUint8Array", Effect.map(store.update(key, (value) => f(toBytes(value))), Option.map(toBytes))),
      remove: (key) => on("remove", Effect.asVoid(store.remove(key))),
      set: (key, value) => on("set", store.set(key, value)),
      size: on("size", store.size())
    })
  })
