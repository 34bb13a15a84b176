import { engines } from "./engines.js"
import { suite } from "./suites/ttlStoreModel.js"

for (const engine of engines) suite(engine)
