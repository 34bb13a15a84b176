/**
 * Keys and names that others make, of any length and content, as keys that every engine keeps.
 *
 * @internal
 */
import { sha256 } from "../sha256.js"

/** A key may have two parts, and a word that we put before it. */
const longest = 1000

/**
 * The text as a JSON string, or its hash if that is long. No two texts have the same key, and no key is the beginning
 * of another.
 *
 * @internal
 */
export const keyOf = (text: string): string => {
  const json = JSON.stringify(text)
  return Buffer.byteLength(json) <= longest
    ? json
    // Of the JSON, in which lone surrogates are escaped: UTF-8 has no form for them.
    : JSON.stringify({ sha256: sha256(json) })
}
