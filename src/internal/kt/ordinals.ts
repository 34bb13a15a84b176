/**
 * Values by their ordinals, which is how procedures take and answer lists.
 *
 * @internal
 */
import type { Pair } from "../../KtTransport.js"
import { utf8 } from "./bytes.js"

/** @internal */
export const ordinals = (values: ReadonlyArray<Uint8Array>): ReadonlyArray<Pair> =>
  values.map((value, i) => [utf8(String(i)), value])
