import uuid

from django.db import migrations, models

import authfi.crypto.fields
import authfi.lib.tenancy
from authfi.lib.migrations import ProtectTenantTables


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='DataKey',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('number', models.PositiveIntegerField()),
                ('purpose', models.CharField(choices=[('data', 'Data'), ('index', 'Index')], max_length=8)),
                ('wrapped', models.BinaryField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('tenant_id', 'purpose', 'number'), name='datakey_number_once')],
            },
        ),
        migrations.CreateModel(
            name='SigningKey',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('kid', models.CharField(max_length=64)),
                ('alg', models.CharField(max_length=8)),
                ('state', models.CharField(choices=[('next', 'Next'), ('active', 'Active'), ('retired', 'Retired')], max_length=8)),
                ('public_jwk', models.JSONField()),
                ('private_jwk', authfi.crypto.fields.SealedTextField(editable=True)),
                ('not_after', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('tenant_id', 'kid'), name='signingkey_kid_once'), models.UniqueConstraint(condition=models.Q(('state', 'active')), fields=('tenant_id', 'alg'), name='signingkey_one_active')],
            },
        ),
        ProtectTenantTables('DataKey', 'SigningKey'),
    ]
