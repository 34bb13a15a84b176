import { kinds } from "./engines.js"
import { suite } from "./suites/ktExpiry.js"

for (const engine of kinds) suite(engine)
