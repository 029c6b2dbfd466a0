// What the page holds beside its first screen. A room is a function of the page
// { server, store, notice, theme, description, geometry: the study of a link or null, open(state), show(tab), wayOut(problems) } and gives any of
//   panel    an element below the panels of the first screen
//   button   an element in the top line
//   tab      { name, title, element, shown() }: a view of its own; shown() is called when it comes to the front
//   state(state)                    called with every new state
//   answer(kind, answer, newest)    called with every good answer of the live loop
//   task(name)                      called when a task is chosen on the accuracy chart
//   save(state, name)               called to put a merge into the library
//   rail                            an element beside the heading of the models in the rail
//   wayOut(problems)                [label, act] where it has what refused work asks for, else null
//   first                           the name of its tab, if the page opens with it

import { createAllMethods } from "./all-methods.js";
import { createExport } from "./export.js";
import { createGallery } from "./gallery.js";
import { createGeometry } from "./geometry.js";
import { createLearn } from "./learn.js";
import { createLibrary } from "./library.js";
import { createLookCloser } from "./look-closer.js";
import { createModels } from "./models.js";
import { createPrint } from "./print.js";
import { createShortcuts } from "./shortcuts.js";
import { createTextLoss } from "./text-loss.js";
import { createTour } from "./tour.js";
import { createTryIt } from "./try-it.js";

const ROOMS = [createModels, createTryIt, createTextLoss, createLookCloser, createAllMethods, createGeometry, createLearn, createLibrary, createGallery, createTour, createShortcuts, createExport, createPrint];

export function createRooms(page) {
  const made = ROOMS.map((create) => create(page));
  const all = (name) => made.map((room) => room[name]).filter(Boolean);
  const tell = (name) => (...what) => all(name).forEach((hear) => hear(...what));
  return { panels: all("panel"), buttons: all("button"), tabs: all("tab"), state: tell("state"), answer: tell("answer"), task: tell("task"), save: tell("save"), rail: all("rail"), wayOut: (problems) => all("wayOut").map((find) => find(problems)).find(Boolean), first: all("first")[0] ?? null };
}
