"""How each database tells of its tables.

Each query takes a schema, ``""`` for that of the login, and a table, in any case. Its rows are:
schema, table, column, type, length, 1 where names compare byte by byte, 1 where the column alone is
unique, digits of a second. Conditional indexes do not count as unique.
"""

SQLITE = """
SELECT '', m.name, c.name, lower(c.type), NULL, COALESCE(k.coll = 'BINARY', 0),
    k.coll IS NOT NULL, 6
FROM (SELECT ? AS ignored, ? AS wanted) w
JOIN sqlite_master m ON lower(m.name) = lower(w.wanted) AND m.type IN ('table', 'view')
JOIN pragma_table_info(m.name) c
LEFT JOIN (
    SELECT t.name AS tbl, x.name AS col, min(x.coll) AS coll
    FROM sqlite_master t JOIN pragma_index_list(t.name) l
    JOIN pragma_index_xinfo(l.name) x
    WHERE l."unique" AND NOT l.partial AND x.key
        AND (SELECT count(*) FROM pragma_index_xinfo(l.name) y WHERE y.key) = 1
    GROUP BY t.name, x.name
) k ON k.tbl = m.name AND k.col = c.name
"""
POSTGRESQL = """
SELECT n.nspname, c.relname, a.attname, t.typname,
    CASE WHEN a.atttypmod > 4 AND t.typname IN ('varchar', 'bpchar')
        THEN a.atttypmod - 4 END,
    CASE WHEN COALESCE(NULLIF(l.collname, 'default'), d.datcollate)
        IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8') THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (
        SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique
        AND i.indisvalid AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
        AND i.indpred IS NULL
    ) THEN 1 ELSE 0 END,
    6
FROM (SELECT CAST(? AS varchar) AS space, CAST(? AS varchar) AS wanted) w
JOIN pg_class c ON lower(c.relname) = lower(w.wanted)
    AND c.relkind IN ('r', 'p', 'v', 'f')
JOIN pg_namespace n ON n.oid = c.relnamespace AND (
    lower(n.nspname) = lower(w.space) OR (w.space = '' AND pg_table_is_visible(c.oid))
)
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_database d ON d.datname = current_database()
LEFT JOIN pg_collation l ON l.oid = a.attcollation
"""
MYSQL = """
SELECT c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME, c.DATA_TYPE,
    c.CHARACTER_MAXIMUM_LENGTH,
    CASE WHEN RIGHT(c.COLLATION_NAME, 4) = '_bin' THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (
        SELECT 1 FROM information_schema.STATISTICS s
        WHERE s.TABLE_SCHEMA = c.TABLE_SCHEMA AND s.TABLE_NAME = c.TABLE_NAME
        AND s.COLUMN_NAME = c.COLUMN_NAME AND s.NON_UNIQUE = 0 AND s.SUB_PART IS NULL
        AND NOT EXISTS (
            SELECT 1 FROM information_schema.STATISTICS o
            WHERE o.TABLE_SCHEMA = s.TABLE_SCHEMA AND o.TABLE_NAME = s.TABLE_NAME
            AND o.INDEX_NAME = s.INDEX_NAME AND o.SEQ_IN_INDEX > 1
        )
    ) THEN 1 ELSE 0 END,
    c.DATETIME_PRECISION
FROM information_schema.COLUMNS c
WHERE c.TABLE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE())
    AND LOWER(c.TABLE_NAME) = LOWER(?)
"""
SQLSERVER = """
SELECT SCHEMA_NAME(t.schema_id), t.name, c.name, y.name,
    CASE WHEN y.name IN ('nvarchar', 'nchar') THEN c.max_length / 2
        WHEN c.max_length = -1 OR y.name IN ('image', 'text', 'ntext') THEN NULL
        ELSE c.max_length END,
    CASE WHEN CHARINDEX('_BIN2', c.collation_name) > 0 THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (
        SELECT 1 FROM sys.indexes i JOIN sys.index_columns k
        ON k.object_id = i.object_id AND k.index_id = i.index_id
        WHERE i.object_id = t.object_id AND i.is_unique = 1 AND i.has_filter = 0
        AND k.is_included_column = 0
        GROUP BY i.index_id HAVING COUNT(*) = 1 AND MIN(k.column_id) = c.column_id
    ) THEN 1 ELSE 0 END,
    CASE WHEN y.name IN ('datetime2', 'datetimeoffset') THEN c.scale ELSE 0 END
FROM (SELECT CAST(? AS nvarchar(128)) AS space, CAST(? AS nvarchar(128)) AS wanted) w
JOIN sys.objects t ON LOWER(t.name) = LOWER(w.wanted) AND t.type IN ('U', 'V')
    AND SCHEMA_NAME(t.schema_id) = COALESCE(NULLIF(w.space, ''), SCHEMA_NAME())
JOIN sys.columns c ON c.object_id = t.object_id
JOIN sys.types y ON y.user_type_id = c.user_type_id
"""
