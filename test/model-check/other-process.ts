// The second process of the model test: takes a task, sends its outcome.
import { Clients, type Task } from './clients.js'

const clients = new Clients(JSON.parse(process.argv[2]!) as Task)
process.send!(await clients.run())
process.disconnect()
