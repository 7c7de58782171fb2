//! DataFusion, set up once; a session for each statement, in which there are the tenant's tables and nothing else.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider,
};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::optimizer::Analyzer;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::combine_partial_final_agg::CombinePartialFinalAggregate;
use datafusion::physical_optimizer::ensure_coop::EnsureCooperative;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use super::SqlQuery;
use super::counted::CountWhereRead;
use super::minutes_table::{Minutes, MinutesTable};
use super::numbers::AttributesAsNumbers;
use super::spans_table::SpansTable;
use super::traces_table::TracesTable;

/// Consumers of memory that an error names.
const NAMED_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::MIN.saturating_add(2);
const CATALOG: &str = "siltstone";
const SCHEMA: &str = "public";
pub(super) const TABLES: [&str; 4] = ["spans", "traces", "red", "edges"];

type Rules = Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>;

#[derive(Clone, Debug)]
pub struct SqlConfig {
    /// Parts of a plan that run at the same time.
    pub partitions: usize,
    /// Where sorts and groups go that do not fit into a statement's memory. Without it they fail.
    pub spill: Option<PathBuf>,
    /// Bytes there, of all statements together.
    pub spill_bytes: u64,
}

impl Default for SqlConfig {
    fn default() -> Self {
        Self { partitions: 2, spill: None, spill_bytes: 10 << 30 }
    }
}

/// What all statements share.
pub(crate) struct SqlEngine {
    template: SessionState,
    environment: Arc<RuntimeEnv>,
}

impl SqlEngine {
    pub(crate) fn new(config: &SqlConfig) -> Result<Self, DataFusionError> {
        let mode = config
            .spill
            .clone()
            .map_or(DiskManagerMode::Disabled, |folder| DiskManagerMode::Directories(vec![folder]));
        let disk =
            DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(config.spill_bytes);
        let environment = Arc::new(RuntimeEnvBuilder::new().with_disk_manager_builder(disk).build()?);
        let mut session = SessionConfig::new()
            .with_target_partitions(config.partitions)
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(true);
        // Readers of Arrow that are older than views shall read answers too.
        session.options_mut().optimizer.expand_views_at_output = true;
        let mut rules = Analyzer::new().rules;
        // Before both sides of a comparison are made one type.
        rules.insert(0, Arc::new(AttributesAsNumbers));
        let mut physical: Rules = Vec::new();
        for rule in PhysicalOptimizer::new().rules {
            // Before both halves of an aggregation become one; and when scans put out what was above them, before
            // anything comes between them and what reads them.
            if [CombinePartialFinalAggregate::new().name(), EnsureCooperative::new().name()]
                .contains(&rule.name())
            {
                physical.push(Arc::new(CountWhereRead));
            }
            physical.push(rule);
        }
        let template = SessionStateBuilder::new()
            .with_config(session)
            .with_runtime_env(Arc::clone(&environment))
            .with_default_features()
            .with_analyzer_rules(rules)
            .with_physical_optimizer_rules(physical)
            .build();
        Ok(Self { template, environment })
    }

    /// A session for one statement, with memory of its own.
    pub(super) fn session(
        &self,
        query: &Arc<SqlQuery>,
        memory: usize,
    ) -> Result<SessionState, DataFusionError> {
        let pool = TrackConsumersPool::new(FairSpillPool::new(memory), NAMED_CONSUMERS);
        let environment =
            RuntimeEnvBuilder::from_runtime_env(&self.environment).with_memory_pool(Arc::new(pool));
        let mut session = SessionStateBuilder::new_from_existing(self.template.clone())
            .with_runtime_env(environment.build_arc()?)
            .with_catalog_list(tables(query)?)
            .build();
        // The moment that `now()` is, all through the statement.
        session.mark_start_execution();
        Ok(session)
    }
}

fn tables(query: &Arc<SqlQuery>) -> Result<Arc<dyn CatalogProviderList>, DataFusionError> {
    let schema = MemorySchemaProvider::new();
    let [spans, traces, red, edges] = TABLES.map(str::to_owned);
    schema.register_table(spans, Arc::new(SpansTable { query: Arc::clone(query) }))?;
    schema.register_table(traces, Arc::new(TracesTable { query: Arc::clone(query) }))?;
    for (name, of) in [(red, Minutes::Operations), (edges, Minutes::Calls)] {
        schema.register_table(name, Arc::new(MinutesTable { query: Arc::clone(query), of }))?;
    }
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SCHEMA, Arc::new(schema))?;
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(Arc::new(list))
}
