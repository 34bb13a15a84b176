/**
 * A store as a service, with its layers on the tag.
 *
 * @internal
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { TagClass } from "../../KeyValueStore.js"
import * as Storage from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"

/**
 * In a memory of its own, also beside others: layers are shared by reference, unless they are fresh.
 *
 * @internal
 */
export const inMemory = <A, E, R>(layer: Layer.Layer<A, E, Storage.Storage | R>) =>
  Layer.provide(layer, Layer.fresh(Storage.layerMemory))

/** @internal */
export const makeTag = <Self, const Id extends string, Shape, R>(
  id: Id,
  make: Effect.Effect<Shape, StorageError, Storage.Storage | R>
): TagClass<Self, Id, Shape, R> => {
  const tag = Context.Tag(id)<Self, Shape>()
  // Values, not getters: layers are shared by reference.
  const layer = Layer.effect(tag, make)
  return Object.assign(tag, { layer, layerMemory: inMemory(layer) })
}
