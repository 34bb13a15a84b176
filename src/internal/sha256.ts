/**
 * @internal
 */
import { hash } from "node:crypto"

/**
 * The SHA-256 of a text's UTF-8, as 64 hexadecimal digits.
 *
 * @internal
 */
export const sha256 = (text: string): string => hash("sha256", text)
