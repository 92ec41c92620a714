"""What we promise of our reliability, by number; `docs/reliability.md` shows whether each is kept."""

GROUPS: dict[str, dict[int, str]] = {
    "Training": {
        1: "Killed with SIGKILL at any step, with 0 or 2 workers, a resumed run ends in the same bits "
        "as one that was never stopped; so does a second run of the same seed; another seed does "
        "not.",
        2: "A resume with another number of workers sees every photo of the epoch once, augmented in "
        "the same way.",
        3: "Killed anywhere within a save, the newest whole state loads, and what was half written is "
        "cleared away.",
        4: "A save asks the disk for things in the order that a power cut cannot break, and the last "
        "state is never absent.",
        5: "A full disk, a quota or a read-only folder: the path and the bytes are named, the state "
        "before is kept, training goes on and tries again, and the exit status tells if the last "
        "save failed.",
        6: "A flipped bit or a cut in the newest state is noticed before it is used: the one before is "
        "taken, with a warning, or with --strict nothing is.",
        7: "SIGTERM or Ctrl-C: the step is finished and saved within ten seconds, the exit status is "
        "143 or 130, no process stays behind, and a resume is exact.",
        8: "A loss or gradient that is no number stops the run within a step, names step, rate and "
        "photos, and leaves the last good state as it was.",
        9: "A loader worker that is killed or stuck is named, with the photo it was at, and the run "
        "can be resumed.",
        10: "A resume with other data, recipe, versions or processor is refused with what differs; a "
        "second trainer in the same folder is refused with the other's number.",
    },
    "Data": {
        11: "Every unreadable photo is listed with a reason, before training; it is left out only if "
        "asked, never replaced.",
        12: "No command writes into the user's data, which may be read-only.",
        13: "Every color mode and format that we read comes out as documented RGB; 16 bits are scaled, "
        "transparency is laid over white, the first frame counts.",
        14: "A photo gives the same network input however its camera was held, wherever we read it.",
        15: "An image that would need unreasonable memory is refused or bounded, within a second.",
        16: "A file in another format is refused by its first bytes; no decoder is entered.",
        17: "Links in circles, broken links, hard links, pipes and long paths: each photo counts once, "
        "the scan ends.",
        18: "Class names survive byte for byte from folder to table, whatever script they are in; names "
        "that only look alike are an error.",
        19: "Splits are matched by class name; a class too many, or an empty one, is an error that names it.",
        20: "Copies across splits are found, also re-encoded, resized or turned; a split of ours keeps "
        "copies together.",
    },
    "Model files": {
        21: "No file that we read can run code.",
        22: "A damaged or hostile model file ends in one kind of error, in bounded memory; one flipped "
        "bit is noticed.",
        23: "A model file that refers to other files is refused, and nothing outside its folder is touched.",
        24: "A model file of another architecture, class count, type or release is refused with what "
        "differs, or read exactly; files of earlier releases stay readable.",
        25: "Output replaces nothing but a regular file, only with --force, and is never half written.",
    },
    "Numbers": {
        26: "An exported model gives the logits of the trained one within 1e-4, which the export itself "
        "checks.",
        27: "An int8 model that guesses otherwise where float32 is sure, on a tenth of photos that did not "
        "calibrate it, or that loses accuracy, is "
        "not passed off as good; older instructions give the same answers.",
        28: "Every command gives the network the same bytes of a photo.",
        29: "Confidence is calibrated alike everywhere, and strange images are marked.",
        30: "Accuracy under fifteen kinds of damage is measured the same way each time.",
    },
    "Server": {
        31: "At three times its capacity a server answers 200 or 429 with Retry-After, as many as before, in "
        "bounded time and memory, and is normal again two seconds later.",
        32: "What is late gets 504 at its deadline, and is not computed; nor is what a client left.",
        33: "One bad photo among good ones fails alone; the others get the answer that they get alone.",
        34: "SIGTERM: not ready at once, every accepted request answered, exit status 0; a second one ends "
        "it.",
        35: "A computation that fails is told with 503 and tried anew; a server is never ready before it has "
        "computed.",
        36: "A new model is swapped in without a failed request; a damaged one, or one of other classes, is "
        "refused and the old one goes on.",
        37: "Bodies, heads, pieces and clients that are too much or too slow are refused before they are "
        "kept; others are answered meanwhile.",
        38: "No picture breaks the server: 200, or 4xx with a reason code, within two seconds.",
        39: "No request breaks it: answers are as /openapi.json says, none is a fault, none tells of the "
        "machine.",
        40: "Existing clients get the same answer: Triton's, Hugging Face's, curl, a browser.",
        41: "Nothing is reached but what is meant: no paths, no addresses, no scripts, no other interface.",
    },
    "Long and distributed runs": {
        42: "Memory, open files and threads stay level while training and serving; a server's metrics are "
        "the client's counts.",
        43: "When one of two training processes is killed the other ends within 30 seconds, and the "
        "state is whole.",
        44: "torchrun's restart and SIGTERM end in the same bits, and in one state that both agreed on.",
        45: "Two processes, then one, then two take the same photos in the same order, and count each once; "
        "without batch normalization the losses are those of one process: in float64 for 20 steps within "
        "1e-12, in float32 within 1e-5 for the first 3.",
    },
}

PROMISES: dict[int, str] = {number: text for group in GROUPS.values() for number, text in group.items()}
