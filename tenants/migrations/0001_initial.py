import uuid

import django.core.validators
from django.db import migrations, models

import authfi.lib.tenancy
from authfi.lib.migrations import ProtectTenantTables


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Tenant',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('slug', models.CharField(max_length=63, unique=True, validators=[django.core.validators.RegexValidator('^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$', 'Use a-z, 0-9 and hyphens.')])),
                ('name', models.CharField(max_length=200)),
                ('region', models.CharField(default='local', max_length=32)),
                ('plan', models.CharField(default='standard', max_length=32)),
                ('state', models.CharField(choices=[('active', 'Active'), ('suspended', 'Suspended')], default='active', max_length=16)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='Allowance',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('key', models.CharField(max_length=96)),
                ('window', models.BigIntegerField()),
                ('used', models.PositiveIntegerField(default=0)),
                ('expires_at', models.DateTimeField(db_index=True)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('tenant_id', 'key', 'window'), name='allowance_once')],
            },
        ),
        migrations.CreateModel(
            name='Policy',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('kind', models.CharField(max_length=32)),
                ('version', models.PositiveIntegerField()),
                ('document', models.JSONField()),
                ('changed_by', models.CharField(max_length=255)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('tenant_id', 'kind', 'version'), name='policy_version_once')],
            },
        ),
        ProtectTenantTables('Policy', rights='SELECT, INSERT'),
        ProtectTenantTables('Allowance'),
    ]
