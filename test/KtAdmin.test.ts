import { kinds } from "./engines.js"
import { suite } from "./suites/ktAdmin.js"

for (const engine of kinds) suite(engine)
