BEGIN TRANSACTION;
CREATE TABLE "_yoyo_log" (
            "id" VARCHAR(36),
            "migration_hash" VARCHAR(64),
            "migration_id" VARCHAR(255),
            "operation" VARCHAR(10),
            "username" VARCHAR(255),
            "hostname" VARCHAR(255),
            "comment" VARCHAR(255),
            "created_at_utc" TIMESTAMP,
            PRIMARY KEY ("id")
        );
INSERT INTO "_yoyo_log" VALUES('log-0001_jobs','5873771ebe71c032b981c22053293d3159f5be4a3c245b16785f833277b236a6','0001_jobs','apply','bot','host',NULL,'2026-01-01 00:00:00');
INSERT INTO "_yoyo_log" VALUES('log-0002_editing','d4795e0da75c5938f87a3fda262c4c94227d31a7c06d80d116cab85203b03673','0002_editing','apply','bot','host',NULL,'2026-01-01 00:00:00');
INSERT INTO "_yoyo_log" VALUES('log-0003_limits','46cb822e9c996631f12a0ac7597e9cae5c93bf8d054ea6609f07a4c708616a32','0003_limits','apply','bot','host',NULL,'2026-01-01 00:00:00');
CREATE TABLE "_yoyo_migration" (
            "migration_hash" VARCHAR(64),
            "migration_id" VARCHAR(255),
            "applied_at_utc" TIMESTAMP,
            PRIMARY KEY ("migration_hash")
        );
INSERT INTO "_yoyo_migration" VALUES('5873771ebe71c032b981c22053293d3159f5be4a3c245b16785f833277b236a6','0001_jobs','2026-01-01 00:00:01');
INSERT INTO "_yoyo_migration" VALUES('d4795e0da75c5938f87a3fda262c4c94227d31a7c06d80d116cab85203b03673','0002_editing','2026-01-01 00:00:02');
INSERT INTO "_yoyo_migration" VALUES('46cb822e9c996631f12a0ac7597e9cae5c93bf8d054ea6609f07a4c708616a32','0003_limits','2026-01-01 00:00:03');
CREATE TABLE "_yoyo_version" (
            "version" INT NOT NULL PRIMARY KEY,
            "installed_at_utc" TIMESTAMP
        );
INSERT INTO "_yoyo_version" VALUES(2,'2026-01-01 00:00:00');
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    member_id INTEGER,
    closed_at INTEGER
) STRICT;
INSERT INTO "accounts" VALUES(1,1001,NULL);
INSERT INTO "accounts" VALUES(2,1003,NULL);
INSERT INTO "accounts" VALUES(3,1002,1763999992);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    guild_id INTEGER NOT NULL,
    actor_id INTEGER NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    member_id INTEGER,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    reason TEXT,
    at INTEGER NOT NULL
) STRICT;
INSERT INTO "audit" VALUES(1,2001,1003,'limits set credits_per_day','<@1001>',1001,'not set','30',NULL,1763999990);
INSERT INTO "audit" VALUES(2,2001,1003,'grant','<@1001>',1001,'0','5','a prize',1763999990);
INSERT INTO "audit" VALUES(3,2001,1001,'settings','spoiler',NULL,'off','on',NULL,1763999990);
INSERT INTO "audit" VALUES(4,2001,1003,'block','<@1010>',1010,'not blocked','blocked for good','spam',1763999990);
INSERT INTO "audit" VALUES(5,0,1003,'ceilings credits_per_user','',NULL,'unlimited','50',NULL,1763999990);
CREATE TABLE blocks (
    guild_id INTEGER NOT NULL,
    member_id INTEGER NOT NULL,
    until INTEGER,
    reason TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (guild_id, member_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "blocks" VALUES(0,1012,NULL,'everywhere',1763999980);
INSERT INTO "blocks" VALUES(2001,1010,NULL,'spam',1763999900);
INSERT INTO "blocks" VALUES(2001,1011,1764086400,NULL,1763999950);
INSERT INTO "blocks" VALUES(2002,1001,1764000060,'a minute''s rest',1764000000);
CREATE TABLE channel_rules (
    guild_id INTEGER NOT NULL,
    channel_id INTEGER NOT NULL,
    rule TEXT NOT NULL CHECK (rule IN ('allow', 'deny')),
    PRIMARY KEY (guild_id, channel_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "channel_rules" VALUES(2001,3001,'allow');
INSERT INTO "channel_rules" VALUES(2001,3004,'deny');
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "facts" VALUES('commands_hash','0000000000000000000000000000000000000000000000000000000000000000');
INSERT INTO "facts" VALUES('owner_guild','');
CREATE TABLE guild_settings (
    guild_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (guild_id, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "guild_settings" VALUES(0,'credits_per_user','5000');
INSERT INTO "guild_settings" VALUES(0,'queue_length','unlimited');
INSERT INTO "guild_settings" VALUES(2001,'admin_role','8001');
INSERT INTO "guild_settings" VALUES(2001,'age_restricted_only','on');
INSERT INTO "guild_settings" VALUES(2001,'edit_images_of','own');
INSERT INTO "guild_settings" VALUES(2001,'log_channel','3010');
INSERT INTO "guild_settings" VALUES(2001,'replies_as_edits','on');
INSERT INTO "guild_settings" VALUES(2001,'spoiler','on');
INSERT INTO "guild_settings" VALUES(2002,'paused','on');
CREATE TABLE images (
    -- A random public id: it names the picture's file and appears in buttons.
    id TEXT PRIMARY KEY,
    job_id INTEGER NOT NULL REFERENCES jobs (id),
    position INTEGER NOT NULL CHECK (position >= 0),
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'rendered', 'failed', 'cancelled', 'deleted')),
    seed INTEGER NOT NULL CHECK (seed BETWEEN 0 AND 4294967295),
    file TEXT,
    device_ms INTEGER NOT NULL DEFAULT 0 CHECK (device_ms >= 0),
    UNIQUE (job_id, position)
) STRICT;
INSERT INTO "images" VALUES('000100000000',1,0,'deleted',7,NULL,1500);
INSERT INTO "images" VALUES('000200000000',2,0,'rendered',7,'000200000000.png',1500);
INSERT INTO "images" VALUES('000200000001',2,1,'rendered',8,'000200000001.png',1500);
INSERT INTO "images" VALUES('000300000000',3,0,'rendered',7,'000300000000.png',1500);
INSERT INTO "images" VALUES('000400000000',4,0,'rendered',7,'000400000000.png',1500);
INSERT INTO "images" VALUES('000500000000',5,0,'rendered',7,'000500000000.png',1500);
INSERT INTO "images" VALUES('000600000000',6,0,'failed',7,NULL,700);
INSERT INTO "images" VALUES('000700000000',7,0,'deleted',7,NULL,700);
INSERT INTO "images" VALUES('000700000001',7,1,'cancelled',8,NULL,700);
INSERT INTO "images" VALUES('000800000000',8,0,'cancelled',7,NULL,700);
INSERT INTO "images" VALUES('000900000000',9,0,'rendered',7,'000900000000.png',1500);
INSERT INTO "images" VALUES('000a00000000',10,0,'rendered',7,'000a00000000.png',1500);
INSERT INTO "images" VALUES('000b00000000',11,0,'rendered',7,'000b00000000.png',1500);
INSERT INTO "images" VALUES('000c00000000',12,0,'queued',7,NULL,0);
INSERT INTO "images" VALUES('000c00000001',12,1,'queued',8,NULL,0);
INSERT INTO "images" VALUES('000c00000002',12,2,'queued',9,NULL,0);
INSERT INTO "images" VALUES('000c00000003',12,3,'queued',10,NULL,0);
INSERT INTO "images" VALUES('000d00000000',13,0,'queued',7,NULL,0);
INSERT INTO "images" VALUES('000e00000000',14,0,'queued',7,NULL,0);
INSERT INTO "images" VALUES('000f00000000',15,0,'rendered',7,'000f00000000.png',1500);
INSERT INTO "images" VALUES('001000000000',16,0,'rendered',7,'001000000000.png',1500);
INSERT INTO "images" VALUES('001100000000',17,0,'rendered',7,'001100000000.png',1500);
INSERT INTO "images" VALUES('001200000000',18,0,'rendered',7,'001200000000.png',1500);
INSERT INTO "images" VALUES('001300000000',19,0,'rendered',7,'001300000000.png',1500);
INSERT INTO "images" VALUES('001400000000',20,0,'deleted',7,NULL,1500);
INSERT INTO "images" VALUES('001500000000',21,0,'deleted',7,NULL,1500);
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    -- The interaction or message that asked: a duplicate event makes no second job.
    source_id INTEGER NOT NULL UNIQUE,
    parent_image_id TEXT REFERENCES images (id),
    state TEXT NOT NULL DEFAULT 'queued' CHECK (
        state IN ('queued', 'running', 'rendered', 'delivering', 'delivered', 'failed', 'cancelled', 'expired')
    ),
    owner_id INTEGER NOT NULL,
    -- Where credits count: the server, or 0 for direct messages and user-installed use.
    scope_id INTEGER NOT NULL,
    guild_id INTEGER,
    channel_id INTEGER NOT NULL,
    visibility TEXT NOT NULL CHECK (visibility IN ('public', 'private')),
    kind TEXT NOT NULL,
    spec TEXT NOT NULL CHECK (json_valid(spec)),
    count INTEGER NOT NULL CHECK (count >= 1),
    credits INTEGER NOT NULL CHECK (credits >= 0),
    attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- Makes Discord drop a second copy of the result message.
    nonce TEXT NOT NULL CHECK (length(nonce) <= 25),
    -- The way back to the interaction's own response; wiped when it has expired.
    application_id INTEGER,
    interaction_token TEXT,
    token_expires_at INTEGER,
    progress_message_id INTEGER,
    result_message_id INTEGER,
    result_channel_id INTEGER,
    error_code TEXT,
    device_ms INTEGER NOT NULL DEFAULT 0 CHECK (device_ms >= 0),
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER
, account_id INTEGER REFERENCES accounts (id), granted INTEGER DEFAULT 0, forgotten_at INTEGER) STRICT;
INSERT INTO "jobs" VALUES(1,4001,NULL,'delivered',1001,2001,2001,3001,'public','imagine','{"guidance_scale":0.0,"height":256,"model":"Z-Image demo","negative_prompt":"","prompt":"","seed":7,"steps":8,"width":256}',1,100,1,'j0000000000000000000001',5001,NULL,NULL,6001,7001,3001,NULL,1500,1760544000,1760544005,1760544040,1,0,1763999991);
INSERT INTO "jobs" VALUES(2,4002,NULL,'delivered',1001,2001,2001,3001,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "blur", "prompt": "a red circle on a blue background", "seed": 7, "steps": 8, "width": 256}',2,200,1,'j0000000000000000000002',5001,NULL,NULL,6002,7002,3001,NULL,3000,1763996400,1763996405,1763996440,1,0,NULL);
INSERT INTO "jobs" VALUES(3,4003,NULL,'delivered',1001,2001,2001,3001,'public','edit','{"guidance_scale": 0.0, "height": 256, "mask": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "model": "Z-Image demo", "negative_prompt": "", "prompt": "a green circle", "seed": 7, "source": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "steps": 8, "strength": 0.6, "width": 256}',1,63,1,'j0000000000000000000003',5001,NULL,NULL,6003,7003,3001,NULL,1500,1763996400,1763996405,1763996440,1,0,NULL);
INSERT INTO "jobs" VALUES(4,4004,'000200000000','delivered',1001,2001,2001,3001,'public','edit','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a yellow circle", "seed": 7, "source": "cccccccccccccccccccccccccccccccc", "steps": 8, "strength": 0.45, "width": 256}',1,50,1,'j0000000000000000000004',5001,NULL,NULL,6004,7004,3001,NULL,1500,1763996400,1763996405,1763996440,1,0,NULL);
INSERT INTO "jobs" VALUES(5,4005,'000300000000','delivered',1001,2001,2001,3001,'private','upscale','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle, larger", "seed": 7, "source": "dddddddddddddddddddddddddddddddd", "steps": 8, "strength": 0.3, "width": 256}',1,150,1,'j0000000000000000000005',5001,NULL,NULL,6005,7005,3001,NULL,1500,1763996400,1763996405,1763996440,1,0,NULL);
INSERT INTO "jobs" VALUES(6,4006,NULL,'failed',1001,2001,2001,3001,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',1,100,1,'j0000000000000000000006',5001,NULL,NULL,6006,NULL,NULL,'out_of_memory',700,1763996400,1763996405,1763996430,1,0,NULL);
INSERT INTO "jobs" VALUES(7,4007,NULL,'cancelled',1001,2001,2001,3001,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',2,200,1,'j0000000000000000000007',5001,NULL,NULL,6007,NULL,NULL,NULL,1400,1763996400,1763996405,1763996430,1,0,NULL);
INSERT INTO "jobs" VALUES(8,4008,NULL,'cancelled',1001,2001,2001,3001,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',1,100,1,'j0000000000000000000008',5001,NULL,NULL,6008,NULL,NULL,NULL,700,1763996400,1763996405,1763996430,1,40,NULL);
INSERT INTO "jobs" VALUES(9,4009,NULL,'expired',1001,2001,2001,3001,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',1,100,1,'j0000000000000000000009',5001,NULL,NULL,6009,NULL,NULL,'undelivered',1500,1763740800,1763740805,1763740860,1,0,NULL);
INSERT INTO "jobs" VALUES(10,4010,NULL,'rendered',1001,2001,2001,3001,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',1,100,1,'j000000000000000000000a',5001,'example-token-10',1764000300,6010,NULL,NULL,NULL,1500,1763999400,1763999405,NULL,1,0,NULL);
INSERT INTO "jobs" VALUES(11,4011,NULL,'delivering',1001,2001,2001,3001,'public','edit','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a blue square", "seed": 7, "source": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "steps": 8, "strength": 1.0, "width": 256}',1,100,1,'j000000000000000000000b',5001,'example-token-11',1764000400,6011,NULL,NULL,NULL,1500,1763999500,1763999505,NULL,1,0,NULL);
INSERT INTO "jobs" VALUES(12,4012,NULL,'running',1001,2001,2001,3001,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',4,400,1,'j000000000000000000000c',5001,'example-token-12',1764000840,6012,NULL,NULL,NULL,0,1763999940,1763999945,NULL,1,0,NULL);
INSERT INTO "jobs" VALUES(13,4013,NULL,'queued',1001,2001,2001,3001,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',1,100,0,'j000000000000000000000d',5001,'example-token-13',1764000870,6013,NULL,NULL,NULL,0,1763999970,NULL,NULL,1,0,NULL);
INSERT INTO "jobs" VALUES(14,4014,NULL,'queued',1001,2001,2001,3001,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',1,100,0,'j000000000000000000000e',5001,'example-token-14',1763828100,6014,NULL,NULL,NULL,0,1763827200,NULL,NULL,1,0,NULL);
INSERT INTO "jobs" VALUES(15,4015,NULL,'delivered',1001,0,NULL,3009,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "une pomme — 苹果", "seed": 7, "steps": 8, "width": 256}',1,100,1,'j000000000000000000000f',5001,NULL,NULL,6015,7015,3009,NULL,1500,1763992800,1763992805,1763992840,1,0,NULL);
INSERT INTO "jobs" VALUES(16,4016,NULL,'delivered',1001,0,2002,3002,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',1,100,1,'j0000000000000000000010',5001,NULL,NULL,6016,7016,3002,NULL,1500,1763992900,1763992905,1763992940,1,0,NULL);
INSERT INTO "jobs" VALUES(17,4017,NULL,'delivered',1001,2002,2002,3003,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',1,100,1,'j0000000000000000000011',5001,NULL,NULL,6017,7017,3003,NULL,1500,1763993000,1763993005,1763993040,1,0,NULL);
INSERT INTO "jobs" VALUES(18,4018,NULL,'delivered',1003,2001,2001,3001,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',1,100,1,'j0000000000000000000012',5001,NULL,NULL,6018,7018,3001,NULL,1500,1763995000,1763995005,1763995040,2,0,NULL);
INSERT INTO "jobs" VALUES(19,4019,NULL,'delivered',1003,2001,2001,3001,'public','imagine','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a red circle", "seed": 7, "steps": 8, "width": 256}',1,70,1,'j0000000000000000000013',5001,NULL,NULL,6019,7019,3001,NULL,1500,1763997000,1763997005,1763997040,2,0,NULL);
INSERT INTO "jobs" VALUES(20,4020,NULL,'delivered',0,2001,2001,3001,'public','imagine','{"guidance_scale":0.0,"height":256,"model":"Z-Image demo","negative_prompt":"","prompt":"","seed":7,"steps":8,"width":256}',1,100,1,'j0000000000000000000014',5001,NULL,NULL,6020,7020,3001,NULL,1500,1763997500,1763997505,1763997540,3,0,1763999992);
INSERT INTO "jobs" VALUES(21,4021,'000200000000','delivered',0,2001,2001,3001,'public','edit','{"guidance_scale":0.0,"height":256,"model":"Z-Image demo","negative_prompt":"","prompt":"","seed":7,"source":"","steps":8,"strength":0.5,"width":256}',1,100,1,'j0000000000000000000015',5001,NULL,NULL,6021,7021,3001,NULL,1500,1763997600,1763997605,1763997640,3,0,1763999992);
CREATE TABLE "ledger" (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    scope_id INTEGER NOT NULL,
    -- The job; for a reset the newest one that it forgives; none for what an admin granted.
    job_id INTEGER REFERENCES jobs (id),
    entry TEXT NOT NULL CHECK (entry IN ('reserved', 'settled', 'given_back', 'granted', 'reset')),
    credits INTEGER NOT NULL CHECK (credits >= 0),
    -- The part of them that a grant pays.
    granted INTEGER NOT NULL DEFAULT 0 CHECK (granted BETWEEN 0 AND credits),
    device_ms INTEGER NOT NULL DEFAULT 0 CHECK (device_ms >= 0),
    counted_at INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
INSERT INTO "ledger" VALUES(1,1,2001,NULL,'granted',500,500,0,1763568000,1763568000);
INSERT INTO "ledger" VALUES(2,1,2001,1,'reserved',100,0,0,1760544000,1760544000);
INSERT INTO "ledger" VALUES(3,1,2001,1,'settled',100,0,1500,1760544000,1760544040);
INSERT INTO "ledger" VALUES(4,1,2001,2,'reserved',200,0,0,1763996400,1763996400);
INSERT INTO "ledger" VALUES(5,1,2001,2,'settled',200,0,3000,1763996400,1763996440);
INSERT INTO "ledger" VALUES(6,1,2001,3,'reserved',63,0,0,1763996400,1763996400);
INSERT INTO "ledger" VALUES(7,1,2001,3,'settled',63,0,1500,1763996400,1763996440);
INSERT INTO "ledger" VALUES(8,1,2001,4,'reserved',50,0,0,1763996400,1763996400);
INSERT INTO "ledger" VALUES(9,1,2001,4,'settled',50,0,1500,1763996400,1763996440);
INSERT INTO "ledger" VALUES(10,1,2001,5,'reserved',150,0,0,1763996400,1763996400);
INSERT INTO "ledger" VALUES(11,1,2001,5,'settled',150,0,1500,1763996400,1763996440);
INSERT INTO "ledger" VALUES(12,1,2001,6,'reserved',100,0,0,1763996400,1763996400);
INSERT INTO "ledger" VALUES(13,1,2001,6,'settled',0,0,700,1763996400,1763996430);
INSERT INTO "ledger" VALUES(14,1,2001,6,'given_back',100,0,0,1763996400,1763996430);
INSERT INTO "ledger" VALUES(15,1,2001,7,'reserved',200,0,0,1763996400,1763996400);
INSERT INTO "ledger" VALUES(16,1,2001,7,'settled',130,0,1400,1763996400,1763996430);
INSERT INTO "ledger" VALUES(17,1,2001,7,'given_back',70,0,0,1763996400,1763996430);
INSERT INTO "ledger" VALUES(18,1,2001,8,'reserved',100,40,0,1763996400,1763996400);
INSERT INTO "ledger" VALUES(19,1,2001,8,'settled',80,20,700,1763996400,1763996430);
INSERT INTO "ledger" VALUES(20,1,2001,8,'given_back',20,20,0,1763996400,1763996430);
INSERT INTO "ledger" VALUES(21,1,2001,9,'reserved',100,0,0,1763740800,1763740800);
INSERT INTO "ledger" VALUES(22,1,2001,9,'settled',0,0,1500,1763740800,1763740860);
INSERT INTO "ledger" VALUES(23,1,2001,9,'given_back',100,0,0,1763740800,1763740860);
INSERT INTO "ledger" VALUES(24,1,2001,10,'reserved',100,0,0,1763999400,1763999400);
INSERT INTO "ledger" VALUES(25,1,2001,11,'reserved',100,0,0,1763999500,1763999500);
INSERT INTO "ledger" VALUES(26,1,2001,12,'reserved',400,0,0,1763999940,1763999940);
INSERT INTO "ledger" VALUES(27,1,2001,13,'reserved',100,0,0,1763999970,1763999970);
INSERT INTO "ledger" VALUES(28,1,2001,14,'reserved',100,0,0,1763827200,1763827200);
INSERT INTO "ledger" VALUES(29,1,0,15,'reserved',100,0,0,1763992800,1763992800);
INSERT INTO "ledger" VALUES(30,1,0,15,'settled',100,0,1500,1763992800,1763992840);
INSERT INTO "ledger" VALUES(31,1,0,16,'reserved',100,0,0,1763992900,1763992900);
INSERT INTO "ledger" VALUES(32,1,0,16,'settled',100,0,1500,1763992900,1763992940);
INSERT INTO "ledger" VALUES(33,1,2002,17,'reserved',100,0,0,1763993000,1763993000);
INSERT INTO "ledger" VALUES(34,1,2002,17,'settled',100,0,1500,1763993000,1763993040);
INSERT INTO "ledger" VALUES(35,2,2001,18,'reserved',100,0,0,1763995000,1763995000);
INSERT INTO "ledger" VALUES(36,2,2001,18,'settled',100,0,1500,1763995000,1763995040);
INSERT INTO "ledger" VALUES(37,2,2001,18,'reset',100,0,0,1763996000,1763996000);
INSERT INTO "ledger" VALUES(38,2,2001,19,'reserved',70,0,0,1763997000,1763997000);
INSERT INTO "ledger" VALUES(39,2,2001,19,'settled',70,0,1500,1763997000,1763997040);
INSERT INTO "ledger" VALUES(40,3,2001,20,'reserved',100,0,0,1763997500,1763997500);
INSERT INTO "ledger" VALUES(41,3,2001,20,'settled',100,0,1500,1763997500,1763997540);
INSERT INTO "ledger" VALUES(42,3,2001,21,'reserved',100,0,0,1763997600,1763997600);
INSERT INTO "ledger" VALUES(43,3,2001,21,'settled',100,0,1500,1763997600,1763997640);
CREATE TABLE limits (
    guild_id INTEGER NOT NULL,
    target TEXT NOT NULL CHECK (target IN ('user', 'role', 'everyone')),
    target_id INTEGER NOT NULL,
    name TEXT NOT NULL CHECK (
        name IN ('credits_per_day', 'concurrent_jobs', 'queued_jobs', 'max_pixels', 'max_count')
    ),
    value INTEGER CHECK (value >= 0),
    until INTEGER,
    PRIMARY KEY (guild_id, target, target_id, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "limits" VALUES(2001,'everyone',0,'credits_per_day',2000,NULL);
INSERT INTO "limits" VALUES(2001,'everyone',0,'max_pixels',65536,NULL);
INSERT INTO "limits" VALUES(2001,'everyone',0,'queued_jobs',4,NULL);
INSERT INTO "limits" VALUES(2001,'role',8001,'credits_per_day',4000,NULL);
INSERT INTO "limits" VALUES(2001,'role',8001,'max_count',3,NULL);
INSERT INTO "limits" VALUES(2001,'role',8002,'credits_per_day',NULL,1764086400);
INSERT INTO "limits" VALUES(2001,'user',1001,'concurrent_jobs',2,NULL);
INSERT INTO "limits" VALUES(2001,'user',1001,'credits_per_day',3000,1764604800);
INSERT INTO "limits" VALUES(2001,'user',1003,'max_count',1,1763999999);
CREATE TABLE member_settings (
    member_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (member_id, name)
) STRICT, WITHOUT ROWID;
INSERT INTO "member_settings" VALUES(1001,'aspect','16:9');
INSERT INTO "member_settings" VALUES(1001,'count','2');
INSERT INTO "member_settings" VALUES(1001,'private','on');
INSERT INTO "member_settings" VALUES(1001,'size','large');
INSERT INTO "member_settings" VALUES(1003,'private','off');
CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    owner_id INTEGER NOT NULL,
    source TEXT NOT NULL,
    spec TEXT NOT NULL CHECK (json_valid(spec)),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "uploads" VALUES('00000000000e',1001,'dddddddddddddddddddddddddddddddd','{"guidance_scale": 0.0, "height": 256, "model": "Z-Image demo", "negative_prompt": "", "prompt": "a picture that was shown", "seed": 7, "source": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "steps": 8, "strength": 0.5, "width": 256}',1763999100);
CREATE TABLE usage_days (
    scope_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    channel_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    images INTEGER NOT NULL,
    credits INTEGER NOT NULL,
    device_ms INTEGER NOT NULL,
    PRIMARY KEY (scope_id, day, account_id, channel_id, kind)
) STRICT, WITHOUT ROWID;
INSERT INTO "usage_days" VALUES(0,20416,1,3002,'imagine',1,1,100,1500);
INSERT INTO "usage_days" VALUES(0,20416,1,3009,'imagine',1,1,100,1500);
INSERT INTO "usage_days" VALUES(2001,20376,1,3001,'imagine',1,1,100,1500);
INSERT INTO "usage_days" VALUES(2001,20413,1,3001,'imagine',1,1,0,1500);
INSERT INTO "usage_days" VALUES(2001,20416,1,3001,'edit',2,2,113,3000);
INSERT INTO "usage_days" VALUES(2001,20416,1,3001,'imagine',4,3,410,5800);
INSERT INTO "usage_days" VALUES(2001,20416,1,3001,'upscale',1,1,150,1500);
INSERT INTO "usage_days" VALUES(2001,20416,2,3001,'imagine',2,2,170,3000);
INSERT INTO "usage_days" VALUES(2001,20416,3,3001,'edit',1,1,100,1500);
INSERT INTO "usage_days" VALUES(2001,20416,3,3001,'imagine',1,1,100,1500);
INSERT INTO "usage_days" VALUES(2002,20416,1,3003,'imagine',1,1,100,1500);
CREATE TABLE words (
    guild_id INTEGER NOT NULL,
    word TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('word', 'pattern')),
    sentence TEXT,
    PRIMARY KEY (guild_id, word)
) STRICT, WITHOUT ROWID;
INSERT INTO "words" VALUES(2001,'\bwar(s)?\b','pattern','Not here, please.');
INSERT INTO "words" VALUES(2001,'straße','word',NULL);
CREATE TABLE "yoyo_lock" ("locked" INT DEFAULT 1, "ctime" TIMESTAMP,"pid" INT NOT NULL,PRIMARY KEY ("locked"));
CREATE INDEX jobs_by_state ON jobs (state) WHERE state NOT IN ('delivered', 'failed', 'cancelled', 'expired');
CREATE INDEX jobs_by_owner ON jobs (owner_id, created_at);
CREATE INDEX jobs_by_result_message ON jobs (result_message_id) WHERE result_message_id IS NOT NULL;
CREATE INDEX jobs_by_parent ON jobs (parent_image_id) WHERE parent_image_id IS NOT NULL;
CREATE INDEX jobs_by_channel ON jobs (channel_id, id);
CREATE UNIQUE INDEX accounts_open ON accounts (member_id) WHERE closed_at IS NULL;
CREATE INDEX accounts_by_member ON accounts (member_id) WHERE member_id IS NOT NULL;
CREATE INDEX jobs_open ON jobs (owner_id, scope_id) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_kept ON jobs (ended_at) WHERE forgotten_at IS NULL;
CREATE INDEX ledger_by_account ON ledger (account_id, counted_at);
CREATE INDEX ledger_by_scope ON ledger (scope_id, counted_at);
CREATE INDEX ledger_of_grants ON ledger (account_id, scope_id) WHERE granted > 0;
CREATE INDEX ledger_of_resets ON ledger (account_id, scope_id, job_id) WHERE entry = 'reset';
CREATE TRIGGER ledger_is_never_changed BEFORE UPDATE ON ledger
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_is_never_shortened BEFORE DELETE ON ledger
BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE INDEX usage_days_by_account ON usage_days (account_id, day);
CREATE INDEX audit_by_guild ON audit (guild_id, id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('accounts',3);
COMMIT;
