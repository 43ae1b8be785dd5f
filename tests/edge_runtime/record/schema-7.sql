BEGIN TRANSACTION;
CREATE TABLE cell (
    field INTEGER REFERENCES field(number), number INTEGER,
    x INTEGER, y INTEGER, width INTEGER, height INTEGER,
    status TEXT, reason TEXT, label TEXT, probability REAL, "values" TEXT, confidences TEXT, crop BLOB,
    PRIMARY KEY (field, number)
);
INSERT INTO "cell" VALUES(1,1,1,2,30,40,'parasitized','','parasitized',0.875,'{"wholeness": 0.75, "redness": 0.1, "confidence": -1.5}','[-1.0, -2.5]',X'89504E47');
INSERT INTO "cell" VALUES(1,2,1,2,30,40,'rejected','far','parasitized',0.875,'{"wholeness": 0.75, "redness": 0.1, "confidence": -9.0}','[-1.0, -2.5]',X'89504E47');
INSERT INTO "cell" VALUES(1,3,1,2,30,40,'rejected','far','parasitized',0.875,'{"wholeness": 0.75, "redness": 0.1, "confidence": -9.0}','[-1.0, -2.5]',X'89504E47');
INSERT INTO "cell" VALUES(1,4,1,2,30,40,'uninfected','','uninfected',0.875,'{"wholeness": 0.75, "redness": 0.1, "confidence": -1.5}','[-1.0, -2.5]',X'89504E47');
CREATE TABLE field (
    number INTEGER PRIMARY KEY, name TEXT, width INTEGER, height INTEGER, overview BLOB, read_at TEXT,
    reason TEXT, "values" TEXT, moment REAL
);
INSERT INTO "field" VALUES(1,'a.png',640,480,X'FFD8','2025-01-02T03:04:06+00:00','','{"sharpness": 20.5, "clipped": 0.0}',NULL);
INSERT INTO "field" VALUES(3,'a.png',640,480,X'FFD8','2025-01-02T03:04:06+00:00','out-of-focus','{"sharpness": 7.5, "clipped": 0.0}',12.25);
CREATE TABLE note (text TEXT);
INSERT INTO "note" VALUES('camera 0: hangs');
CREATE TABLE skipped (name TEXT, reason TEXT);
INSERT INTO "skipped" VALUES('c.png','cut off');
CREATE TABLE slide (
    schema INTEGER, slide TEXT, source TEXT, bundle TEXT, bundle_digest TEXT, tests TEXT, gates TEXT,
    classes TEXT, parasitized TEXT, usual REAL, correlation REAL, provider TEXT, software TEXT, started TEXT,
    finished TEXT, repeats INTEGER, sensitivity TEXT, false_positives TEXT,
    until TEXT, every REAL
);
INSERT INTO "slide" VALUES(7,'S-17/ü','camera 0','tiny 1 (0123)','abababababababababababababababababababababababababababababababab','[{"name": "wholeness", "reason": "not-one-cell", "sentence": "not one whole cell", "whole": false, "side": "at least", "limit": 0.0}, {"name": "redness", "reason": "odd", "sentence": "of an odd red", "whole": true, "side": "at most", "limit": 0.5}, {"name": "confidence", "reason": "far", "sentence": "unlike others", "whole": true, "side": "at least", "limit": -2.25}]','[{"name": "sharpness", "reason": "out-of-focus", "sentence": "out of focus", "advice": "turn the knob", "side": "at least", "limit": 13.0}, {"name": "clipped", "reason": "overexposed", "sentence": "too bright", "advice": "less lamp", "side": "at most", "limit": 0.05}]','["uninfected", "parasitized"]','["parasitized"]',0.05,0.02,'CPUExecutionProvider','cellgate 0.1.0','2025-01-02T03:04:05+00:00','2025-01-02T04:00:00+00:00',7,'{"hits": 900, "cells": 1000, "correlation": 0.02, "patients": 30}','{"hits": 3, "cells": 2000, "correlation": 0.001, "patients": 20}','quick',0.0);
COMMIT;
