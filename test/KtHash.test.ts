import { kinds } from "./engines.js"
import { suite } from "./suites/ktHash.js"

for (const engine of kinds) suite(engine)
